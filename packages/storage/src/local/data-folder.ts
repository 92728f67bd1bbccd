import { join } from 'node:path'
import { StorageError } from '../log-store.ts'
import { errorCodeOf, type FileSystem, type FolderLock } from './file-system.ts'

/** The folder, made when missing, for this store alone. */
export async function lockFolder(fileSystem: FileSystem, dataDir: string): Promise<FolderLock> {
  try {
    await fileSystem.makeFolder(dataDir)
    const lock = await fileSystem.lock(join(dataDir, 'lock'))
    if (lock !== null) return lock
  } catch (error) {
    throw asOpenError(error, dataDir)
  }
  throw new StorageError(
    'DATA_LOCKED',
    `the data folder ${dataDir} is in use by another broker: stop that one, or choose another folder`,
  )
}

const NOT_WRITABLE: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST', 'EISDIR'])

function notWritable(error: unknown, dataDir: string): StorageError {
  const reason = error instanceof Error ? error.message : String(error)
  return new StorageError(
    'DATA_NOT_WRITABLE',
    `the data folder ${dataDir} cannot be written (${reason}): change its permissions, or choose another folder`,
    { cause: error },
  )
}

/** What kept a folder from being opened as an error of the store, where it is one that has a way out. */
export function asOpenError(error: unknown, dataDir: string): unknown {
  if (error instanceof StorageError) return error
  const code = errorCodeOf(error) ?? ''
  const reason = error instanceof Error ? error.message : String(error)
  if (NOT_WRITABLE.has(code)) return notWritable(error, dataDir)
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new StorageError(
      'DISK_FULL',
      `no room to open the data folder ${dataDir} (${reason}): free some space`,
      {
        cause: error,
      },
    )
  }
  return error
}
