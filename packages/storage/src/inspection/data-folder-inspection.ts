import { basename, join, resolve } from 'node:path'
import { type Checkpoint, readCheckpoint } from '../local/checkpoint.ts'
import { asOpenError, lockFolder } from '../local/data-folder.ts'
import { errorCodeOf, type FileSystem } from '../local/file-system.ts'
import { GroupScan } from '../local/group-scan.ts'
import {
  fileNumberOf,
  LogFile,
  logFileName,
  numbersIn,
  segmentFileName,
  segmentNumberOf,
} from '../local/log-files.ts'
import { FILE_HEADER_BYTES, fileHeaderFault } from '../local/log-format.ts'
import { nodeFileSystem } from '../local/node-file-system.ts'
import { ReadHandles } from '../local/read-handles.ts'
import { StorageError } from '../log-store.ts'

/** A data folder that nobody has open, to be looked at. What is wrong with it is found, not refused. */
export interface DataFolderInspection {
  readonly dataDir: string
  /** The `log` folder in it. */
  readonly folder: string
  readonly fileSystem: FileSystem
  /** Names in the `log` folder. */
  readonly names: readonly string[]
  /** Numbers of the log files and of the segments, ascending. */
  readonly fileNumbers: readonly number[]
  readonly segmentNumbers: readonly number[]
  /** Null where it is missing or damaged: `checkpointFault` says which. */
  readonly checkpoint: Checkpoint | null
  readonly checkpointFault: string | null
  /** Null where neither the checkpoint nor the header of the first log file says it. */
  readonly storeId: Uint8Array | null
}

/**
 * Runs `inspect` with the lock of the folder held. Throws StorageError: DATA_NOT_FOUND where there is no data folder,
 * DATA_LOCKED while a broker has it, DATA_NEWER_FORMAT, DATA_NOT_WRITABLE where the lock cannot be taken.
 */
export async function inspectDataFolder<T>(
  givenDir: string,
  inspect: (inspection: DataFolderInspection) => Promise<T>,
  fileSystem: FileSystem = nodeFileSystem,
): Promise<T> {
  const dataDir = resolve(givenDir)
  const folder = join(dataDir, 'log')
  // Looked at before the lock is taken, which would make the folder.
  if (!(await listed(fileSystem, dataDir)).some((name) => name === 'checkpoint' || name === 'log')) {
    throw new StorageError(
      'DATA_NOT_FOUND',
      `${dataDir} is no data folder: it has neither checkpoint nor log`,
    )
  }
  const lock = await lockFolder(fileSystem, dataDir)
  try {
    const names = await listed(fileSystem, folder)
    const fileNumbers = numbersIn(names, fileNumberOf)
    let checkpoint: Checkpoint | null = null
    let checkpointFault: string | null = null
    try {
      checkpoint = (await readCheckpoint(fileSystem, dataDir))?.checkpoint ?? null
      if (checkpoint === null) checkpointFault = 'there is no checkpoint'
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== 'DATA_DAMAGED') throw error
      checkpointFault = 'the checkpoint is damaged'
    }
    const storeId =
      checkpoint === null
        ? await storeIdIn(fileSystem, folder, fileNumbers)
        : Buffer.from(checkpoint.clusterId, 'base64url')
    const segmentNumbers = numbersIn(names, segmentNumberOf)
    return await inspect({
      dataDir,
      folder,
      fileSystem,
      names,
      fileNumbers,
      segmentNumbers,
      checkpoint,
      checkpointFault,
      storeId,
    })
  } catch (error) {
    throw asOpenError(error, dataDir)
  } finally {
    await lock.release()
  }
}

async function listed(fileSystem: FileSystem, folder: string): Promise<string[]> {
  try {
    return await fileSystem.list(folder)
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT' || errorCodeOf(error) === 'ENOTDIR') return []
    throw error
  }
}

/** The store id of the first log file whose header is intact. */
async function storeIdIn(
  fileSystem: FileSystem,
  folder: string,
  numbers: readonly number[],
): Promise<Uint8Array | null> {
  for (const number of numbers) {
    const file = await InspectedFile.open(fileSystem, join(folder, logFileName(number)), number)
    try {
      const header = await file.header()
      const storeId = header.subarray(24, 40)
      if (fileHeaderFault(header, number, storeId) === null) return storeId
    } finally {
      await file.close()
    }
  }
  return null
}

/** A log file or a segment, read through one window of memory. */
export class InspectedFile {
  readonly number: number
  readonly path: string
  readonly name: string
  readonly sizeBytes: number
  readonly scan: GroupScan
  readonly #file: LogFile

  private constructor(file: LogFile, sizeBytes: number) {
    this.number = file.number
    this.path = file.path
    this.name = basename(file.path)
    this.sizeBytes = sizeBytes
    this.scan = new GroupScan(file, sizeBytes)
    this.#file = file
  }

  static async open(fileSystem: FileSystem, path: string, number: number): Promise<InspectedFile> {
    const sizeBytes = await sizeOf(fileSystem, path)
    const handles = new ReadHandles(fileSystem)
    return new InspectedFile(new LogFile(handles, path, number, false, sizeBytes, sizeBytes), sizeBytes)
  }

  static openLog({ fileSystem, folder }: DataFolderInspection, number: number): Promise<InspectedFile> {
    return InspectedFile.open(fileSystem, join(folder, logFileName(number)), number)
  }

  static openSegment({ fileSystem, folder }: DataFolderInspection, number: number): Promise<InspectedFile> {
    return InspectedFile.open(fileSystem, join(folder, segmentFileName(number)), number)
  }

  /** A copy of the first 4 KiB, or of what is there of them. */
  async header(): Promise<Uint8Array> {
    return (await this.scan.bytesAt(0, FILE_HEADER_BYTES)).slice()
  }

  /** Whether there is nothing but zeros from `position` on for as far as one header goes. */
  async isEmptyAt(position: number): Promise<boolean> {
    return (await this.scan.bytesAt(position, FILE_HEADER_BYTES)).every((byte) => byte === 0)
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}

export async function sizeOf(fileSystem: FileSystem, path: string): Promise<number> {
  const handle = await fileSystem.open(path, { access: 'read', direct: false, writesAreDurable: false })
  return await handle.sizeBytes().finally(() => handle.close())
}
