/** Filesystems that are small, read-only or full: mounted for one test where this user may mount. */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Mounted extends AsyncDisposable {
  readonly path: string
  /** Mounts it again with other options, such as `ro`. */
  remount(options: string): Promise<void>
}

/** Mounts with the arguments of mount(8), without source and target. Undefined where that is not permitted. */
export async function mounted(args: readonly string[], source = 'none'): Promise<Mounted | undefined> {
  const path = await mkdtemp(join(tmpdir(), 'streambus-mount-'))
  try {
    execFileSync('mount', [...args, source, path], { stdio: 'ignore' })
  } catch {
    await rmdir(path)
    return undefined
  }
  return {
    path,
    remount: async (options) => {
      execFileSync('mount', ['-o', `remount,${options}`, path], { stdio: 'ignore' })
    },
    [Symbol.asyncDispose]: async () => {
      execFileSync('umount', ['--lazy', path], { stdio: 'ignore' })
      await rmdir(path)
    },
  }
}
