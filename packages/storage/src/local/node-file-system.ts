import * as fs from 'node:fs'
import { constants } from 'node:fs'
import { mkdir, open as openHandle, readdir, readFile, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import {
  errorCodeOf,
  type FileSystem,
  type FolderLock,
  type OpenOptions,
  type StorageFile,
} from './file-system.ts'
import { lockFile } from './folder-lock.ts'

/**
 * The real filesystem. Calls go through the thread pool with callbacks rather than through FileHandle, which
 * costs about twice as much per call.
 */
const openFd = promisify(fs.open)
const closeFd = promisify(fs.close)
const ftruncate = promisify(fs.ftruncate)
const fdatasync = promisify(fs.fdatasync)

/** O_DSYNC is honoured with a flush of the device's cache on Linux only; elsewhere fdatasync does that. */
const DSYNC_FLUSHES = process.platform === 'linux'

class NodeFile implements StorageFile {
  readonly #fd: number
  readonly #syncAfterWrite: boolean

  constructor(fd: number, syncAfterWrite: boolean) {
    this.#fd = fd
    this.#syncAfterWrite = syncAfterWrite
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      let filled = 0
      const step = () => {
        fs.read(this.#fd, target, filled, target.byteLength - filled, position + filled, (error, count) => {
          if (error !== null) return reject(error)
          filled += count
          if (count === 0 || filled === target.byteLength) resolve(filled)
          else step()
        })
      }
      step()
    })
  }

  write(bytes: Uint8Array, position: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let written = 0
      const step = () => {
        fs.write(this.#fd, bytes, written, bytes.byteLength - written, position + written, (error, count) => {
          if (error !== null) return reject(error)
          written += count
          if (written < bytes.byteLength) return step()
          if (!this.#syncAfterWrite) return resolve()
          fs.fdatasync(this.#fd, (syncError) => (syncError === null ? resolve() : reject(syncError)))
        })
      }
      step()
    })
  }

  sync(): Promise<void> {
    return fdatasync(this.#fd)
  }

  sizeBytes(): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.fstat(this.#fd, (error, stats) => (error === null ? resolve(stats.size) : reject(error)))
    })
  }

  truncate(sizeBytes: number): Promise<void> {
    return ftruncate(this.#fd, sizeBytes)
  }

  close(): Promise<void> {
    return closeFd(this.#fd)
  }
}

async function open(path: string, options: OpenOptions): Promise<StorageFile> {
  let flags = options.access === 'read' ? constants.O_RDONLY : constants.O_RDWR
  if (options.access === 'create') flags |= constants.O_CREAT | constants.O_EXCL
  if (options.direct) flags |= constants.O_DIRECT ?? 0
  if (options.writesAreDurable && DSYNC_FLUSHES) flags |= constants.O_DSYNC
  return new NodeFile(await openFd(path, flags, 0o644), options.writesAreDurable && !DSYNC_FLUSHES)
}

async function syncFolder(folder: string): Promise<void> {
  // Windows cannot open a folder; its filesystem journals the names itself.
  if (process.platform === 'win32') return
  const fd = await openFd(folder, constants.O_RDONLY)
  try {
    await promisify(fs.fsync)(fd)
  } finally {
    await closeFd(fd)
  }
}

export const nodeFileSystem: FileSystem = {
  async makeFolder(path) {
    let first: string | undefined
    try {
      first = await mkdir(path, { recursive: true })
    } catch (error) {
      if (errorCodeOf(error) !== 'ENOENT') throw error
      // Node 20 reports a full or read-only filesystem as a missing parent; plain mkdir names the reason.
      await mkdir(path)
      first = path
    }
    if (first === undefined) return
    for (let folder = path; folder.length >= first.length; folder = dirname(folder)) {
      await syncFolder(dirname(folder))
    }
  },
  list: (folder) => readdir(folder),
  open,
  async readFile(path) {
    try {
      return await readFile(path)
    } catch (error) {
      if (errorCodeOf(error) === 'ENOENT') return null
      throw error
    }
  },
  async replaceFile(path, content) {
    const temporary = `${path}.tmp`
    const handle = await openHandle(temporary, 'w', 0o644)
    try {
      await handle.writeFile(content)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
    await syncFolder(dirname(path))
  },
  rename,
  remove: unlink,
  syncFolder,
  lock: (path): Promise<FolderLock | null> => lockFile(path),
}
