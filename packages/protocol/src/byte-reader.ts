import { ProtocolError } from './protocol-error.ts'

/**
 * Elements that all arrays of one message may hold together. A few hostile bytes per element become an object
 * each, so the frame's size alone would let 100 MiB of input become gigabytes of objects.
 */
const maxArrayElements = 2 ** 21
/**
 * The same for requests. What a handler makes of an element takes some hundred bytes more, and answers list
 * several elements for one that was asked for. A fetch of 200,000 partitions is still one request.
 */
export const MAX_REQUEST_ELEMENTS = 2 ** 18

const MAX_STRING_BYTES = 0x7fff
/** What stands for a byte that is no UTF-8 (U+FFFD) has this many bytes. */
const REPLACEMENT_BYTES = 3

/** Reads Kafka's primitive types from one frame. Every claim is checked against the bytes that are left. */
export class ByteReader {
  readonly bytes: Buffer
  position: number
  readonly end: number
  /** The field being read, for error messages. */
  field = ''
  readonly #view: DataView
  readonly #maxElements: number
  #elementsLeft: number

  constructor(bytes: Uint8Array, position = 0, maxElements = maxArrayElements) {
    this.#maxElements = maxElements
    this.#elementsLeft = maxElements
    this.bytes = asBuffer(bytes)
    this.position = position
    this.end = bytes.length
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  get remaining(): number {
    return this.end - this.position
  }

  /** Moves past `length` bytes and returns where they begin. */
  take(length: number): number {
    const start = this.position
    if (length > this.end - start) {
      throw new ProtocolError('TRUNCATED', `${length} bytes expected, ${this.end - start} left`, {
        position: start,
      })
    }
    this.position = start + length
    return start
  }

  bool(): boolean {
    return this.bytes[this.take(1)] !== 0
  }

  int8(): number {
    return this.#view.getInt8(this.take(1))
  }

  int16(): number {
    return this.#view.getInt16(this.take(2))
  }

  uint16(): number {
    return this.#view.getUint16(this.take(2))
  }

  int32(): number {
    return this.#view.getInt32(this.take(4))
  }

  uint32(): number {
    return this.#view.getUint32(this.take(4))
  }

  int64(): bigint {
    return this.#view.getBigInt64(this.take(8))
  }

  float64(): number {
    return this.#view.getFloat64(this.take(8))
  }

  uuid(): string {
    const start = this.take(16)
    return this.bytes.toString('base64url', start, start + 16)
  }

  /** At most five bytes, 32 bits. */
  unsignedVarint(): number {
    const start = this.position
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.bytes[this.take(1)]!
      if (shift === 28 && byte > 0x0f) break
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value >>> 0
    }
    throw new ProtocolError('INVALID_VALUE', 'varint longer than 32 bits', { position: start })
  }

  /** Length of a string; -1 for null. */
  stringLength(flexible: boolean): number {
    return flexible ? this.unsignedVarint() - 1 : this.int16()
  }

  /** Length of bytes, records or an array; -1 for null. */
  length(flexible: boolean): number {
    return flexible ? this.unsignedVarint() - 1 : this.int32()
  }

  /**
   * Kafka bounds strings at what a 16-bit length can say, in flexible versions too. Bytes that are no UTF-8
   * become longer when they are written again, so that the bound is checked on the result as well.
   */
  text(length: number): string {
    const start = length > MAX_STRING_BYTES ? this.position : this.take(length)
    const text = length > MAX_STRING_BYTES ? undefined : this.bytes.toString('utf8', start, start + length)
    const mayGrow = length > MAX_STRING_BYTES / REPLACEMENT_BYTES
    if (text === undefined || (mayGrow && Buffer.byteLength(text) > MAX_STRING_BYTES)) {
      throw new ProtocolError('INVALID_LENGTH', `string of ${length} bytes is too long`, { position: start })
    }
    return text
  }

  view(length: number): Buffer {
    const start = this.take(length)
    return this.bytes.subarray(start, start + length)
  }

  /** Refuses an array whose elements cannot fit in what is left, before anything is allocated for it. */
  expectElements(count: number, minElementBytes: number): void {
    if (count * minElementBytes > this.end - this.position) {
      throw new ProtocolError('INVALID_LENGTH', `array of ${count} elements in ${this.remaining} bytes`, {
        position: this.position,
      })
    }
    this.#elementsLeft -= count
    if (this.#elementsLeft < 0) {
      throw new ProtocolError('INVALID_LENGTH', `more than ${this.#maxElements} array elements`, {
        position: this.position,
      })
    }
  }

  /** Tagged fields of a section none of whose tags are known (KIP-482). */
  skipTaggedFields(): void {
    const count = this.unsignedVarint()
    for (let i = 0; i < count; i++) {
      this.unsignedVarint()
      this.take(this.unsignedVarint())
    }
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
