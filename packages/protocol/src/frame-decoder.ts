import { ProtocolError } from './protocol-error.ts'

/** First allocation for a frame that does not arrive whole; it grows as bytes come in. */
const firstAllocationBytes = 256 * 1024
const growthFactor = 4
const lengthBytes = 4

/** Where a decoder gets the memory for frames that do not arrive whole. */
export interface FrameMemory {
  /** At least `neededBytes`, more only where that costs nothing; `usefulBytes` are of use. */
  allocate(neededBytes: number, usefulBytes: number): Buffer
  /** Memory that the decoder no longer needs. What it handed on in a frame is the receiver's to give back. */
  giveBack(memory: Uint8Array): void
}

const heapMemory: FrameMemory = {
  allocate: (neededBytes) => Buffer.allocUnsafeSlow(neededBytes),
  giveBack: () => undefined,
}

/**
 * Cuts a stream of bytes into frames: a 4-byte big-endian length, then that many bytes. Fed with the chunks a
 * socket gives. A frame that lies inside one chunk is handed on as a view of it; one that does not is put
 * together in memory that grows with the bytes that have arrived, never with the length that was announced.
 * No chunk is kept after `push` returns. After an error the stream has no frame boundaries any more: close it.
 */
export class FrameDecoder {
  readonly #maxFrameBytes: number
  readonly #memory: FrameMemory
  /** The frame in progress; null while its length is not known. */
  #frame: Buffer | null = null
  #frameBytes = 0
  /** Bytes of the frame in progress, or of its length, that have arrived. */
  #arrivedBytes = 0
  /** The part of a length that has arrived, as an integer. */
  #partialLength = 0

  constructor(options: { readonly maxFrameBytes: number; readonly memory?: FrameMemory }) {
    this.#maxFrameBytes = options.maxFrameBytes
    this.#memory = options.memory ?? heapMemory
  }

  /** Bytes held for a frame that is not complete. */
  get bufferedBytes(): number {
    return this.#arrivedBytes
  }

  /**
   * Takes the next bytes and calls `onFrame` for each frame they complete, without its length.
   * Throws ProtocolError: FRAME_TOO_LARGE, or INVALID_LENGTH if the length is negative.
   */
  push(chunk: Uint8Array, onFrame: (frame: Uint8Array) => void): void {
    let position = 0
    if (this.#arrivedBytes > 0 || this.#frame !== null) position = this.#resume(chunk, onFrame)
    while (position < chunk.length) {
      if (chunk.length - position < lengthBytes) {
        this.#resumeLength(chunk, position)
        return
      }
      const length =
        (chunk[position]! << 24) |
        (chunk[position + 1]! << 16) |
        (chunk[position + 2]! << 8) |
        chunk[position + 3]!
      this.#checkLength(length)
      position += lengthBytes
      if (chunk.length - position < length) {
        this.#begin(length)
        this.#collect(chunk, position)
        return
      }
      const frame = chunk.subarray(position, position + length)
      position += length
      onFrame(frame)
    }
  }

  /** Goes on with what an earlier chunk began. Returns where the next frame's length begins in the chunk. */
  #resume(chunk: Uint8Array, onFrame: (frame: Uint8Array) => void): number {
    let position = 0
    if (this.#frame === null) {
      position = this.#resumeLength(chunk, 0)
      if (this.#arrivedBytes < lengthBytes) return position
      const length = this.#partialLength
      this.#checkLength(length)
      this.#partialLength = 0
      this.#arrivedBytes = 0
      if (chunk.length - position >= length) {
        onFrame(chunk.subarray(position, position + length))
        return position + length
      }
      this.#begin(length)
    }
    position = this.#collect(chunk, position)
    if (this.#arrivedBytes === this.#frameBytes) {
      const frame = this.#frame!.subarray(0, this.#frameBytes)
      this.#frame = null
      this.#arrivedBytes = 0
      onFrame(frame)
    }
    return position
  }

  #resumeLength(chunk: Uint8Array, from: number): number {
    let position = from
    while (position < chunk.length && this.#arrivedBytes < lengthBytes) {
      this.#partialLength = (this.#partialLength << 8) | chunk[position++]!
      this.#arrivedBytes++
    }
    return position
  }

  #checkLength(length: number): void {
    if (length < 0) throw new ProtocolError('INVALID_LENGTH', `frame of ${length} bytes`)
    if (length > this.#maxFrameBytes) {
      throw new ProtocolError(
        'FRAME_TOO_LARGE',
        `frame of ${length} bytes, at most ${this.#maxFrameBytes} are accepted`,
      )
    }
  }

  #begin(length: number): void {
    this.#frame = this.#memory.allocate(Math.min(length, firstAllocationBytes), length)
    this.#frameBytes = length
    this.#arrivedBytes = 0
  }

  /** Copies what belongs to the frame in progress. Returns where that ends in the chunk. */
  #collect(chunk: Uint8Array, from: number): number {
    const count = Math.min(chunk.length - from, this.#frameBytes - this.#arrivedBytes)
    const needed = this.#arrivedBytes + count
    if (needed > this.#frame!.length) {
      const grown = this.#memory.allocate(
        Math.min(this.#frameBytes, Math.max(needed, this.#frame!.length * growthFactor)),
        this.#frameBytes,
      )
      grown.set(this.#frame!.subarray(0, this.#arrivedBytes))
      this.#memory.giveBack(this.#frame!)
      this.#frame = grown
    }
    this.#frame!.set(chunk.subarray(from, from + count), this.#arrivedBytes)
    this.#arrivedBytes = needed
    return from + count
  }
}
