/** Filesystems that are small, read-only or full: mounted for one test where this user may mount. */
import { execFileSync } from 'node:child_process'
import { mkdtemp, open, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { temporaryFolder } from '../cli/built-cli.ts'

export const NOT_PERMITTED = 'mounting is not permitted here'

const MEBIBYTE = 1024 * 1024

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

export interface SmallDisk extends AsyncDisposable {
  readonly mount: Mounted
}

export async function smallTmpfs(sizeMib: number): Promise<SmallDisk | undefined> {
  const mount = await mounted(['-t', 'tmpfs', '-o', `size=${sizeMib}m`])
  return mount && { mount, [Symbol.asyncDispose]: () => mount[Symbol.asyncDispose]() }
}

export async function smallExt4(sizeMib: number): Promise<SmallDisk | undefined> {
  const folder = await temporaryFolder()
  const image = join(folder.path, 'image')
  const handle = await open(image, 'w')
  await handle.truncate(sizeMib * MEBIBYTE)
  await handle.close()
  let mount: Mounted | undefined
  try {
    execFileSync('mkfs.ext4', ['-q', '-F', '-m', '0', image], { stdio: 'ignore' })
    mount = await mounted(['-o', 'loop'], image)
  } catch {
    mount = undefined
  }
  if (mount === undefined) {
    await folder[Symbol.asyncDispose]()
    return undefined
  }
  return {
    mount,
    [Symbol.asyncDispose]: async () => {
      await mount[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}
