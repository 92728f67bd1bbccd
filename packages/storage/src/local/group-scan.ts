import { alignedMemory } from './aligned-memory.ts'
import type { LogFile } from './log-files.ts'
import {
  decodeGroup,
  type Entry,
  GROUP_HEADER_BYTES,
  type GroupHeader,
  groupLength,
  paddedLength,
} from './log-format.ts'

/** A group read back, whole. `bytes` is overwritten by the next step of the scan. */
export interface ScannedGroup {
  readonly position: number
  readonly bytes: Uint8Array
  readonly header: GroupHeader
  readonly entries: readonly Entry[]
  readonly crc: number
}

const WINDOW_BYTES = 4 * 1024 ** 2

/** Reads a log file front to back through one window of memory, whatever the sizes of its groups. */
export class GroupScan {
  readonly #file: LogFile
  readonly #sizeBytes: number
  #memory: Uint8Array
  #windowStart = 0
  #windowBytes = 0

  constructor(file: LogFile, sizeBytes: number) {
    this.#file = file
    this.#sizeBytes = sizeBytes
    this.#memory = alignedMemory(Math.min(WINDOW_BYTES, Math.max(paddedLength(sizeBytes), paddedLength(1))))
  }

  /** The group at `position`, or null when what is there is no intact group of this file. */
  async groupAt(position: number): Promise<ScannedGroup | null> {
    const lengthBytes = groupLength(await this.bytesAt(position, GROUP_HEADER_BYTES))
    if (lengthBytes === null || position + lengthBytes > this.#sizeBytes) return null
    const bytes = await this.bytesAt(position, lengthBytes)
    const group = bytes.byteLength === lengthBytes ? decodeGroup(bytes) : null
    if (group === null || group.header.fileNumber !== this.#file.number) return null
    return { position, bytes, ...group }
  }

  /** The first intact group that starts in a block at or after `position`. */
  async nextGroup(position: number): Promise<ScannedGroup | null> {
    for (let at = position; at < this.#sizeBytes; at += paddedLength(1)) {
      const group = await this.groupAt(at)
      if (group !== null) return group
    }
    return null
  }

  /** Up to `byteLength` bytes of the file, fewer at its end; valid until the next call. */
  async bytesAt(position: number, byteLength: number): Promise<Uint8Array> {
    const end = Math.min(position + byteLength, this.#sizeBytes)
    if (position < this.#windowStart || end > this.#windowStart + this.#windowBytes) {
      if (byteLength > this.#memory.byteLength) this.#memory = alignedMemory(paddedLength(byteLength))
      this.#windowStart = position
      this.#windowBytes = await this.#file.readBlocks(this.#memory, position)
    }
    const start = position - this.#windowStart
    return this.#memory.subarray(start, Math.max(start, Math.min(start + byteLength, this.#windowBytes)))
  }
}
