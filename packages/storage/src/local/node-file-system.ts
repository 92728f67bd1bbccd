import * as fs from 'node:fs'
import { constants } from 'node:fs'
import { mkdir, readdir, readFile, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { replaceFile } from './file-replacement.ts'
import {
  errorCodeOf,
  type FileSystem,
  type FolderLock,
  type OpenOptions,
  type StorageFile,
} from './file-system.ts'
import { lockFile } from './folder-lock.ts'
import { readWhole, writeWhole } from './whole-transfers.ts'

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
    return readWhole(
      (bytes, at, done) => fs.read(this.#fd, bytes, 0, bytes.byteLength, at, done),
      target,
      position,
    )
  }

  write(bytes: Uint8Array, position: number): Promise<void> {
    const written = writeWhole(
      (part, at, done) => fs.write(this.#fd, part, 0, part.byteLength, at, done),
      bytes,
      position,
    )
    return this.#syncAfterWrite ? written.then(() => fdatasync(this.#fd)) : written
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
  replaceFile: (path, content) => replaceFile(nodeFileSystem, path, content),
  rename,
  remove: unlink,
  syncFolder,
  lock: (path): Promise<FolderLock | null> => lockFile(path),
  pause: (pauseMs) => sleep(pauseMs),
}
