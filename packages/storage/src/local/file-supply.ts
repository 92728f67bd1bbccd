import { type FileSystem, removeIfPresent } from './file-system.ts'
import type { LogFile, LogFileFactory, WritableLogFile } from './log-files.ts'
import { releaseAll } from './release-all.ts'

/**
 * Where the next log file comes from: created when it is needed, or prepared beforehand.
 *
 * Preparing writes every block twice, but off the path of the acknowledgement. Small groups win more by it
 * (no allocation to make durable with each of them) than the second write costs; large groups run at the
 * disk's speed either way and are written to files that grow. So the sizes of recent groups decide, and a
 * file is prepared only once small groups have shown that they keep coming.
 */
const SMALL_GROUP_BYTES = 64 * 1024
/** Small groups in a row before a file is prepared for them. */
const SMALL_GROUPS_BEFORE_PREPARING = 256
const FIRST_PREPARED_BYTES = 64 * 1024 ** 2

export type Preparation = 'small-groups' | 'never' | 'always'

export interface FileSupplyOptions {
  readonly fileSystem: FileSystem
  /** Of a full file. */
  readonly fileBytes: number
  readonly prepareFiles: Preparation
}

export class FileSupply {
  readonly #factory: LogFileFactory
  readonly #fileSystem: FileSystem
  readonly #fileBytes: number
  readonly #preparation: Preparation
  #lastNumber: number
  #prepared: WritableLogFile | null = null
  #preparing: Promise<void> | null = null
  #enough = new AbortController()
  /** While the next file is created no other one may be: both would get the same number. */
  #isCreating = false
  #smallGroups = 0
  #nextPreparedBytes: number

  constructor(factory: LogFileFactory, options: FileSupplyOptions, lastNumber: number) {
    this.#factory = factory
    this.#fileSystem = options.fileSystem
    this.#fileBytes = options.fileBytes
    this.#preparation = options.prepareFiles
    this.#lastNumber = lastNumber
    this.#nextPreparedBytes = Math.min(FIRST_PREPARED_BYTES, options.fileBytes)
  }

  /** The file after the last one, prepared if there is one. */
  async next(): Promise<WritableLogFile> {
    await this.#endPreparing()
    const prepared = this.#prepared
    this.#prepared = null
    if (prepared !== null) return prepared
    this.#isCreating = true
    try {
      const created = await this.#factory.create(this.#lastNumber + 1, 0)
      this.#lastNumber++
      return created
    } finally {
      this.#isCreating = false
    }
  }

  /** True when `file` has no written blocks left and a prepared one waits. */
  hasBetterThan(file: LogFile): boolean {
    return this.#prepared !== null && file.endPosition >= file.preparedBytes
  }

  /** Tells what was written, and prepares a file when that is worth it. */
  groupWritten(byteLength: number, current: LogFile): void {
    if (this.#preparation === 'never') return
    this.#smallGroups = byteLength <= SMALL_GROUP_BYTES ? this.#smallGroups + 1 : 0
    const isWorthIt = this.#preparation === 'always' || this.#smallGroups >= SMALL_GROUPS_BEFORE_PREPARING
    const runsOut = current.endPosition * 2 >= current.preparedBytes
    const isIdle = this.#prepared === null && this.#preparing === null && !this.#isCreating
    if (isWorthIt && runsOut && isIdle) {
      this.#preparing = this.#prepare().finally(() => {
        this.#preparing = null
      })
    }
  }

  async close(): Promise<void> {
    await this.#endPreparing()
    const prepared = this.#prepared
    this.#prepared = null
    if (prepared === null) return
    await releaseAll([
      () => prepared.handle.close(),
      () => removeIfPresent(this.#fileSystem, prepared.file.path),
    ]).catch(() => {
      // A start finds that nothing was written to it, and the next file takes its place.
    })
  }

  /** Nobody waits for the rest of a file that is being prepared: as far as it is, it will do. */
  async #endPreparing(): Promise<void> {
    this.#enough.abort()
    await this.#preparing
    this.#enough = new AbortController()
  }

  async #prepare(): Promise<void> {
    const preparedBytes = this.#nextPreparedBytes
    try {
      this.#prepared = await this.#factory.create(this.#lastNumber + 1, preparedBytes, this.#enough.signal)
      this.#lastNumber++
      this.#nextPreparedBytes = Math.min(preparedBytes * 2, this.#fileBytes)
    } catch {
      // Most likely no room for so much: the write that needs a file will create it and report why it cannot.
      this.#smallGroups = 0
    }
  }
}
