import { join } from 'node:path'
import { StorageError } from '../log-store.ts'
import { alignedMemory } from './aligned-memory.ts'
import { type RemovalPace, removeInSteps } from './file-removal.ts'
import { replaceFile } from './file-replacement.ts'
import {
  errorCodeOf,
  type FileSystem,
  isNoRoom,
  isOutOfHandles,
  removeIfPresent,
  type StorageFile,
} from './file-system.ts'
import { BLOCK_BYTES, FILE_HEADER_BYTES, writeFileHeader } from './log-format.ts'
import { ReadHandle, ReadHandles } from './read-handles.ts'

/**
 * The log files of a data folder: `log/00000000000000000001.log` and so on, each with an index beside it once
 * it is full. Files are numbered without gaps in the order of writing and are never renamed. Segments, which take
 * their place later, have numbers of their own: `log/00000000000000000001.segment`.
 */
const NUMBER_DIGITS = 20
const PROBE_NAME = 'direct-io.probe'
/** Small steps with a pause after each, so that an acknowledgement never waits behind much of it. */
const PREPARE_STEP_BYTES = 256 * 1024
const PREPARE_PAUSE_MS = 1

export function logFileName(fileNumber: number): string {
  return `${String(fileNumber).padStart(NUMBER_DIGITS, '0')}.log`
}

export function segmentFileName(segmentNumber: number): string {
  return `${String(segmentNumber).padStart(NUMBER_DIGITS, '0')}.segment`
}

export function segmentNumberOf(name: string): number | null {
  const match = /^(\d{20})\.segment$/.exec(name)
  return match === null ? null : Number(match[1])
}

export function fileNumberOf(name: string): number | null {
  const match = /^(\d{20})\.log$/.exec(name)
  return match === null ? null : Number(match[1])
}

/** The numbers that names in a folder have by `numberOf`, ascending. */
export function numbersIn(names: readonly string[], numberOf: (name: string) => number | null): number[] {
  return names
    .map(numberOf)
    .filter((number) => number !== null)
    .sort((a, b) => a - b)
}

/**
 * One log file. Readers hold it while they read. Where it is removed all the same, it stays readable for those who had
 * begun.
 */
export class LogFile {
  readonly number: number
  readonly path: string
  /** Bytes of whole groups, from the start of the file: where the next group goes. */
  endPosition: number
  /** Bytes below this never change again. */
  committedEnd: number
  /** Bytes already written, with zeros, beyond which a write extends the file. */
  preparedBytes: number
  /** Logs with live records in this file; at 0 the file can go. Known once the file is full. */
  liveLogs = 0
  /** Of a segment: where its index begins in it. Null for a log file, which has its index beside it. */
  readonly indexPosition: number | null
  /** Of a segment: bytes of the batches that were written to it. */
  batchBytes: number | null = null
  readonly #fileSystem: FileSystem
  readonly #records: ReadHandle
  readonly #index: ReadHandle
  #readers = 0
  #whenFree: (() => void) | null = null
  /** Removed or closed: the read handle goes with the last reader. */
  #isDone = false

  constructor(
    handles: ReadHandles,
    path: string,
    number: number,
    direct: boolean,
    endPosition: number,
    preparedBytes: number,
    indexPosition: number | null = null,
  ) {
    this.#fileSystem = handles.fileSystem
    this.path = path
    this.number = number
    this.endPosition = endPosition
    this.committedEnd = endPosition
    this.preparedBytes = preparedBytes
    this.indexPosition = indexPosition
    this.#records = new ReadHandle(handles, path, direct)
    this.#index = new ReadHandle(handles, this.indexPath, false)
  }

  get isSegment(): boolean {
    return this.indexPosition !== null
  }

  /** The file its index is in. */
  get indexPath(): string {
    return this.isSegment ? this.path : this.path.replace(/\.log$/, '.index')
  }

  hold(): void {
    this.#readers++
  }

  release(): void {
    this.#readers--
    if (this.#readers > 0) return
    if (this.#isDone) void this.#records.end()
    const whenFree = this.#whenFree
    this.#whenFree = null
    whenFree?.()
  }

  get isHeld(): boolean {
    return this.#readers > 0
  }

  /** Calls once when the last of those who hold it now lets go, in the place of what was to be called then before. */
  whenFree(call: () => void): void {
    this.#whenFree = call
  }

  /** Reads aligned blocks. The caller holds the file. */
  readBlocks(target: Uint8Array, position: number): Promise<number> {
    return this.#records.read(target, position)
  }

  /** Reads from the index of the file, which has one when it is full. */
  readIndex(target: Uint8Array, position: number): Promise<number> {
    return this.#index.read(target, (this.indexPosition ?? 0) + position)
  }

  /** Where somebody reads it, it can be read to the end, and its space comes back in one go with the last reader. */
  async remove(pace: RemovalPace): Promise<void> {
    this.#isDone = true
    const { path, endPosition: sizeBytes } = this
    const isHurried = () => this.isHeld || pace.isHurried()
    if (this.isHeld) await this.#records.keepOpen()
    else await this.#records.pause()
    try {
      await removeInSteps(this.#fileSystem, { ...pace, path, sizeBytes, isHurried })
      if (!this.isSegment) await removeIfPresent(this.#fileSystem, this.indexPath)
    } finally {
      await this.#index.end()
      if (!this.isHeld) await this.#records.end()
    }
  }

  /** Closes the file when nobody reads; it is opened again when needed. */
  async pause(): Promise<void> {
    await this.#index.pause()
    if (!this.isHeld) await this.#records.pause()
  }

  /** Closes the file, now or when the last reader lets go. */
  async close(): Promise<void> {
    this.#isDone = true
    await this.#index.end()
    if (!this.isHeld) await this.#records.end()
  }
}

/** How log files are opened in one data folder. */
export interface LogFileOptions {
  readonly fileSystem: FileSystem
  /** The `log` folder. */
  readonly folder: string
  readonly storeId: Uint8Array
  readonly durable: boolean
}

/** A log file open for appending. */
export interface WritableLogFile {
  readonly file: LogFile
  readonly handle: StorageFile
}

/** What was prepared of a full file and will not be written to: only space is lost where this fails. */
export async function giveBackPrepared({ file, handle }: WritableLogFile): Promise<void> {
  if (file.preparedBytes > file.endPosition) await handle.truncate(file.endPosition)
}

/** Creates and opens the log files of one data folder, with direct I/O where the filesystem takes it. */
export class LogFileFactory {
  readonly #options: LogFileOptions
  readonly #handles: ReadHandles
  /** Whether files are opened past the page cache. */
  direct = false
  /** Told when a sync of the folder fails. */
  syncFailed: (error: unknown) => void = () => undefined
  #lastSync: Promise<void> = Promise.resolve()
  #syncFailure: StorageError | null = null

  constructor(options: LogFileOptions) {
    this.#options = options
    this.#handles = new ReadHandles(options.fileSystem)
  }

  pathOf(fileNumber: number): string {
    return join(this.#options.folder, logFileName(fileNumber))
  }

  /** Finds out whether the filesystem takes direct I/O: some refuse it when opening, some at the first write. */
  async probeDirectIo(): Promise<void> {
    const { fileSystem, folder } = this.#options
    const path = join(folder, PROBE_NAME)
    await removeIfPresent(fileSystem, path)
    try {
      const handle = await fileSystem.open(path, { access: 'create', direct: true, writesAreDurable: false })
      await handle
        .write(alignedMemory(BLOCK_BYTES), 0)
        .catch((error: unknown) => {
          // It was the room that was missing, not the permission: what is there can be read all the same.
          if (!isNoRoom(error)) throw error
        })
        .finally(() => handle.close())
      this.direct = true
    } catch (error) {
      if (errorCodeOf(error) !== 'EINVAL') throw error
    }
    await removeIfPresent(fileSystem, path)
  }

  /**
   * Creates a file with its header, durably, and writes `preparedBytes` of zeros after it. Overwriting blocks
   * that were written before needs no allocation to be made durable, which makes small writes about twice as
   * fast as extending; for large ones it is not worth writing twice. `enough` ends the zeros early.
   */
  async create(fileNumber: number, preparedBytes: number, enough?: AbortSignal): Promise<WritableLogFile> {
    const { fileSystem, storeId, durable } = this.#options
    const path = this.pathOf(fileNumber)
    // A crash may have left a file that was created but never written to, or damage may have cut the log
    // before a file that had an index.
    await removeIfPresent(fileSystem, path)
    await removeIfPresent(fileSystem, path.replace(/\.log$/, '.index'))
    const header = alignedMemory(FILE_HEADER_BYTES)
    writeFileHeader(header, fileNumber, storeId)
    const preparing = await fileSystem.open(path, {
      access: 'create',
      direct: this.direct,
      writesAreDurable: false,
    })
    let prepared = FILE_HEADER_BYTES
    try {
      await preparing.write(header, 0)
      const wholeBlocks = Math.floor((preparedBytes - prepared) / BLOCK_BYTES) * BLOCK_BYTES
      if (wholeBlocks > 0) {
        const zeros = alignedMemory(Math.min(PREPARE_STEP_BYTES, wholeBlocks))
        while (prepared + zeros.byteLength <= preparedBytes && enough?.aborted !== true) {
          await preparing.write(zeros, prepared)
          prepared += zeros.byteLength
          await fileSystem.pause(PREPARE_PAUSE_MS)
        }
      }
      if (durable) await preparing.sync()
    } catch (error) {
      // On a full disk, half a file of zeros would take the room that is left.
      await removeIfPresent(fileSystem, path)
      throw error
    } finally {
      await preparing.close()
    }
    // Also where acknowledged is with the operating system: a start relies on files coming into being in order.
    await this.syncFolder()
    const file = new LogFile(this.#handles, path, fileNumber, this.direct, FILE_HEADER_BYTES, prepared)
    return this.reopen(file)
  }

  /** Opens an existing file to go on writing at `endPosition`. */
  async reopen(file: LogFile): Promise<WritableLogFile> {
    const { fileSystem, durable } = this.#options
    const handle = await fileSystem.open(file.path, {
      access: 'write',
      direct: this.direct,
      writesAreDurable: durable,
    })
    return { file, handle }
  }

  segmentPathOf(segmentNumber: number): string {
    return join(this.#options.folder, segmentFileName(segmentNumber))
  }

  get storeId(): Uint8Array {
    return this.#options.storeId
  }

  /** A segment that is complete: `sizeBytes` long, its index from `indexPosition` on. */
  segment(segmentNumber: number, sizeBytes: number, indexPosition: number, batchBytes: number): LogFile {
    const path = this.segmentPathOf(segmentNumber)
    const file = new LogFile(
      this.#handles,
      path,
      segmentNumber,
      this.direct,
      sizeBytes,
      sizeBytes,
      indexPosition,
    )
    file.committedEnd = indexPosition
    file.batchBytes = batchBytes
    return file
  }

  /** Creates the file of a segment, which counts only when an event of the log says so. */
  async createSegment(segmentNumber: number): Promise<StorageFile> {
    const { fileSystem } = this.#options
    const path = this.segmentPathOf(segmentNumber)
    // One that a crash left unfinished, or that a failed event never made count.
    await removeIfPresent(fileSystem, path)
    return await fileSystem.open(path, { access: 'create', direct: this.direct, writesAreDurable: false })
  }

  /** Replaces the index of a full log file, atomically and durably. */
  async replaceIndex(file: LogFile, content: Uint8Array): Promise<void> {
    await replaceFile(this.#options.fileSystem, file.indexPath, content, () => this.syncFolder())
  }

  /**
   * Makes the names in the folder durable. A sync that fails may forget any change of a name, also one that another
   * sync was begun for, and that one would not say so. So they come one after the other, and none succeeds after one
   * that failed.
   */
  syncFolder(): Promise<void> {
    const sync = this.#lastSync.then(() => this.#syncFolder())
    this.#lastSync = sync.catch(() => undefined)
    return sync
  }

  async #syncFolder(): Promise<void> {
    if (this.#syncFailure !== null) throw this.#syncFailure
    const { fileSystem, folder } = this.#options
    try {
      await fileSystem.syncFolder(folder)
    } catch (error) {
      // It was not begun.
      if (isOutOfHandles(error)) throw error
      const message = `syncing ${folder} failed: ${String(error)}`
      this.#syncFailure = new StorageError('WRITER_FAILED', message, { inDoubt: true, cause: error })
      this.syncFailed(error)
      throw this.#syncFailure
    }
  }

  async removeSegment(segmentNumber: number): Promise<void> {
    await removeIfPresent(this.#options.fileSystem, this.segmentPathOf(segmentNumber))
  }

  /** Registers a file found in the folder. */
  existing(fileNumber: number, endPosition: number): LogFile {
    const path = this.pathOf(fileNumber)
    return new LogFile(this.#handles, path, fileNumber, this.direct, endPosition, endPosition)
  }
}
