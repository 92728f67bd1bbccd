import { randomUUID } from 'node:crypto'
import { link, open, readFile, rm, writeFile } from 'node:fs/promises'
import { errorCodeOf, type FolderLock } from './file-system.ts'

/**
 * One process, and one store in it, per data folder.
 *
 * The lock is the operating system's (an open-file-description lock through a prebuilt native module), so it
 * ends with the process however that ends. Where the module does not load, a file with the process id stands
 * in: it is taken over when that process no longer runs, which a reused process id can delay until the file
 * is deleted by hand.
 */
export async function lockFile(path: string): Promise<FolderLock | null> {
  const native = await loadNativeLocks()
  return native === null ? lockByProcessId(`${path}.pid`) : lockByKernel(native, path)
}

interface NativeLocks {
  tryLock(fd: number, options: { exclusive: boolean }): boolean
  unlock(fd: number): void
}

async function loadNativeLocks(): Promise<NativeLocks | null> {
  try {
    return (await import('fs-native-extensions')).default as NativeLocks
  } catch {
    // No prebuilt binary for this platform: the fallback below takes over.
    return null
  }
}

async function lockByKernel(native: NativeLocks, path: string): Promise<FolderLock | null> {
  const handle = await open(path, 'a')
  if (!native.tryLock(handle.fd, { exclusive: true })) {
    await handle.close()
    return null
  }
  return {
    async release() {
      native.unlock(handle.fd)
      await handle.close()
    },
  }
}

/** Locks of this process, for the fallback. */
const heldPaths = new Set<string>()

export async function lockByProcessId(path: string): Promise<FolderLock | null> {
  if (heldPaths.has(path)) return null
  // Two attempts: the second after a file left by a process that is gone has been removed.
  for (let attempt = 0; attempt < 2; attempt++) {
    // Linked into place with its content, so that nobody reads a lock that does not name its holder yet.
    const written = `${path}.${process.pid}.${randomUUID()}`
    await writeFile(written, String(process.pid))
    try {
      await link(written, path)
      heldPaths.add(path)
      return {
        async release() {
          await rm(path, { force: true })
          heldPaths.delete(path)
        },
      }
    } catch (error) {
      if (errorCodeOf(error) !== 'EEXIST') throw error
    } finally {
      await rm(written)
    }
    const holder = await holderOf(path)
    // In a container every run has the same process id: a file with ours that we do not hold is an old one.
    if (holder !== null && holder !== process.pid && isRunning(holder)) return null
    await rm(path, { force: true })
  }
  return null
}

async function holderOf(path: string): Promise<number | null> {
  try {
    const holder = Number.parseInt(await readFile(path, 'utf8'), 10)
    return Number.isInteger(holder) ? holder : null
  } catch (error) {
    // Let go just now.
    if (errorCodeOf(error) === 'ENOENT') return null
    throw error
  }
}

function isRunning(processId: number): boolean {
  try {
    process.kill(processId, 0)
    return true
  } catch (error) {
    // EPERM: it runs, under another user.
    return errorCodeOf(error) === 'EPERM'
  }
}
