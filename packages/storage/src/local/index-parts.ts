import type { DiskAccess } from './disk-access.ts'
import type { LogFile } from './log-files.ts'

interface Part {
  readonly file: LogFile
  /** From the start of the index. */
  readonly position: number
  /** Null while it is read. */
  bytes: Uint8Array | null
  loading: Promise<Uint8Array> | null
}

/**
 * Parts of the indexes of full files and segments, read when they are needed and forgotten again, least recently used
 * first: memory is bounded however many files and logs there are. Nobody changes a part, so that whoever has one may
 * go on with it.
 */
export class IndexParts {
  readonly #maxBytes: number
  readonly #disk: DiskAccess
  readonly #parts = new Map<LogFile, Map<number, Part>>()
  /** In the order of last use. */
  readonly #used = new Set<Part>()
  #bytes = 0

  constructor(maxBytes: number, disk: DiskAccess) {
    this.#maxBytes = maxBytes
    this.#disk = disk
  }

  /**
   * Up to `byteLength` bytes of the index from `position` on, fewer at the end of the file. At one position parts have
   * one length. `check` sees what was read, and throws where it is not what it should be.
   */
  read(
    file: LogFile,
    position: number,
    byteLength: number,
    check?: (bytes: Uint8Array) => void,
  ): Uint8Array | Promise<Uint8Array> {
    const found = this.#parts.get(file)?.get(position)
    if (found !== undefined) {
      this.#used.delete(found)
      this.#used.add(found)
      return found.bytes ?? found.loading!
    }
    const part: Part = { file, position, bytes: null, loading: null }
    let ofFile = this.#parts.get(file)
    if (ofFile === undefined) {
      ofFile = new Map()
      this.#parts.set(file, ofFile)
    }
    ofFile.set(position, part)
    this.#used.add(part)
    part.loading = this.#load(part, byteLength, check)
    return part.loading
  }

  /** Forgets a file that nobody needs any more. */
  forget(file: LogFile): void {
    for (const part of this.#parts.get(file)?.values() ?? []) this.#drop(part)
  }

  async #load(
    part: Part,
    byteLength: number,
    check: ((bytes: Uint8Array) => void) | undefined,
  ): Promise<Uint8Array> {
    await this.#disk.take()
    try {
      const memory = new Uint8Array(byteLength)
      const bytes = memory.subarray(0, await part.file.readIndex(memory, part.position))
      check?.(bytes)
      if (this.#used.has(part)) this.#keep(part, bytes)
      return bytes
    } catch (error) {
      this.#drop(part)
      throw error
    } finally {
      this.#disk.give()
    }
  }

  #keep(part: Part, bytes: Uint8Array): void {
    part.bytes = bytes
    part.loading = null
    this.#bytes += bytes.byteLength
    for (const oldest of this.#used) {
      if (this.#bytes <= this.#maxBytes) return
      if (oldest !== part && oldest.bytes !== null) this.#drop(oldest)
    }
  }

  #drop(part: Part): void {
    if (!this.#used.delete(part)) return
    this.#bytes -= part.bytes?.byteLength ?? 0
    const ofFile = this.#parts.get(part.file)
    ofFile?.delete(part.position)
    if (ofFile?.size === 0) this.#parts.delete(part.file)
  }
}
