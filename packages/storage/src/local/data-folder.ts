import { join } from 'node:path'
import { StorageError } from '../log-store.ts'
import {
  CHECKPOINT_VERSION,
  type Checkpoint,
  emptyCheckpoint,
  type FoundCheckpoint,
  isFirst,
  writeCheckpoint,
} from './checkpoint.ts'
import { errorCodeOf, exceptNoRoom, type FileSystem, type FolderLock } from './file-system.ts'

/** The folder a store lives in: whose it is, whether it is new, and why it cannot be opened. */

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

export async function firstCheckpoint(
  fileSystem: FileSystem,
  dataDir: string,
  newId: () => string,
): Promise<Checkpoint> {
  if ((await fileSystem.list(join(dataDir, 'log'))).some((name) => name.endsWith('.log'))) {
    throw new StorageError(
      'DATA_DAMAGED',
      `${dataDir} has log files but no checkpoint: restore the folder from a backup, or choose another one; \`streambus log check ${dataDir}\` says whether another way is left`,
    )
  }
  const checkpoint = emptyCheckpoint(newId())
  await writeCheckpoint(fileSystem, dataDir, checkpoint)
  return checkpoint
}

/** Writes what a start found anew where it must not stay as it is. */
export async function renewCheckpoint(
  fileSystem: FileSystem,
  dataDir: string,
  { version, checkpoint }: FoundCheckpoint,
): Promise<void> {
  // An older release must not open what is written from now on.
  if (version < CHECKPOINT_VERSION) return await writeCheckpoint(fileSystem, dataDir, checkpoint)
  // Where the sync of the first one failed, a power failure would leave none.
  if (isFirst(checkpoint)) await writeCheckpoint(fileSystem, dataDir, checkpoint).catch(exceptNoRoom)
}

const NOT_WRITABLE: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST', 'EISDIR'])

/** What making a folder says of a file that has its name, or that of a folder above. */
const FILE_IN_THE_WAY: ReadonlySet<string> = new Set(['EEXIST', 'ENOTDIR'])

function notWritable(error: unknown, dataDir: string): StorageError {
  const reason = error instanceof Error ? error.message : String(error)
  return new StorageError(
    'DATA_NOT_WRITABLE',
    FILE_IN_THE_WAY.has(errorCodeOf(error) ?? '')
      ? `the data folder ${dataDir} cannot be made, for there is a file where a folder has to be (${reason}): choose another folder, or move the file away`
      : `the data folder ${dataDir} cannot be written (${reason}): change its permissions, or choose another folder`,
    { cause: error },
  )
}

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
