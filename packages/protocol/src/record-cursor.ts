import { ProtocolError } from './protocol-error.ts'

/**
 * Walks the records of a batch without making an object for any of them. One record (KIP-98), all lengths
 * zigzag varints, -1 for null:
 *
 *     varint length | int8 attributes | varlong timestampDelta | varint offsetDelta
 *     | varint key length, key | varint value length, value
 *     | varint header count, then for each: varint key length, key, varint value length, value
 */
export class RecordCursor {
  readonly bytes: Uint8Array
  position: number
  readonly #end: number

  /** The current record, valid after `next`. Lengths of -1 mean null. */
  timestampDelta = 0
  offsetDelta = 0
  keyStart = 0
  keyLength = 0
  valueStart = 0
  valueLength = 0
  headersStart = 0
  headerCount = 0

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.bytes = bytes
    this.position = start
    this.#end = end
  }

  /** Moves to the next record and checks that it lies within the batch and fills its length exactly. */
  next(): void {
    const start = this.position
    const length = this.varint()
    const recordEnd = this.position + length
    if (length < 0 || recordEnd > this.#end) {
      throw new ProtocolError('INVALID_LENGTH', `record of ${length} bytes`, { position: start })
    }
    this.position++
    this.timestampDelta = this.#varlong()
    this.offsetDelta = this.varint()
    this.keyLength = this.varint()
    this.keyStart = this.#skip(this.keyLength)
    this.valueLength = this.varint()
    this.valueStart = this.#skip(this.valueLength)
    this.headerCount = this.varint()
    this.headersStart = this.position
    if (this.headerCount !== 0) this.#skipHeaders()
    if (this.position !== recordEnd) {
      throw new ProtocolError('INVALID_LENGTH', `record of ${length} bytes is not filled by its fields`, {
        position: start,
      })
    }
  }

  #skipHeaders(): void {
    if (this.headerCount < 0) {
      throw new ProtocolError('INVALID_LENGTH', `${this.headerCount} record headers`, {
        position: this.headersStart,
      })
    }
    for (let i = 0; i < this.headerCount; i++) {
      const keyLength = this.varint()
      if (keyLength < 0) {
        throw new ProtocolError('INVALID_LENGTH', 'record header without a key', { position: this.position })
      }
      this.#skip(keyLength)
      this.#skip(this.varint())
    }
  }

  expectEnd(): void {
    if (this.position === this.#end) return
    throw new ProtocolError('TRAILING_BYTES', `${this.#end - this.position} bytes after the last record`, {
      position: this.position,
    })
  }

  #skip(length: number): number {
    const start = this.position
    if (length > 0) {
      if (length > this.#end - start) {
        throw new ProtocolError('TRUNCATED', `${length} bytes expected, ${this.#end - start} left`, {
          position: start,
        })
      }
      this.position = start + length
    } else if (length < -1) {
      throw new ProtocolError('INVALID_LENGTH', `length ${length} in a record`, { position: start })
    }
    return start
  }

  /** Zigzag, 32 bits, at most five bytes. */
  varint(): number {
    const bytes = this.bytes
    const start = this.position
    let position = start
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      if (position >= this.#end) throw truncated(start)
      const byte = bytes[position++]!
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) {
        this.position = position
        return (value >>> 1) ^ -(value & 1)
      }
    }
    throw new ProtocolError('INVALID_VALUE', 'varint longer than 32 bits', { position: start })
  }

  /** Zigzag, 64 bits, at most ten bytes; exact below 2^53. */
  #varlong(): number {
    const bytes = this.bytes
    const start = this.position
    let position = start
    let value = 0
    let scale = 1
    for (let i = 0; i < 10; i++) {
      if (position >= this.#end) throw truncated(start)
      const byte = bytes[position++]!
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        this.position = position
        return value % 2 === 0 ? value / 2 : -(value + 1) / 2
      }
      scale *= 128
    }
    throw new ProtocolError('INVALID_VALUE', 'varint longer than 64 bits', { position: start })
  }
}

function truncated(position: number): ProtocolError {
  return new ProtocolError('TRUNCATED', 'the bytes end inside a varint', { position })
}
