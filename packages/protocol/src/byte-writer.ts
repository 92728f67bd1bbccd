import { ProtocolError } from './protocol-error.ts'
import type { ExternalBytes } from './schema.ts'

/**
 * A piece of an encoded message. External bytes have a length only: they are supplied by whoever writes the
 * parts to a socket.
 */
export type Part = Uint8Array | ExternalBytes

/** Bytes from this size on become a part of their own instead of being copied beside the small fields. */
const minSeparatePartBytes = 4096
const initialCapacityBytes = 16 * 1024
/** Above this the scratch memory is given back after the message. */
const maxKeptCapacityBytes = 1024 * 1024
const maxInt16 = 0x7fff
const maxInt32 = 0x7fffffff
const minInt64 = -(2n ** 63n)
const maxInt64 = 2n ** 63n - 1n

/**
 * Writes Kafka's primitive types into scratch memory that is used again for the next message. Values that do
 * not fit their type are refused with INVALID_VALUE.
 */
export class ByteWriter {
  position = 0
  /** The field being written, for error messages. */
  field = ''
  #bytes: Buffer
  #view: DataView
  /** Where in the scratch memory a separate part has its place, and that part. */
  #separate: { position: number; part: Part }[] = []
  #separateBytes = 0
  /** Inside a tagged field, whose size is counted in scratch memory, so that no part may be separate. */
  #inTaggedField = false

  constructor(capacityBytes = initialCapacityBytes) {
    this.#bytes = Buffer.allocUnsafeSlow(capacityBytes)
    this.#view = new DataView(this.#bytes.buffer)
  }

  reset(): void {
    this.position = 0
    this.field = ''
    this.#separate = []
    this.#separateBytes = 0
    this.#inTaggedField = false
    if (this.#bytes.length > maxKeptCapacityBytes) this.#allocate(initialCapacityBytes)
  }

  /** Bytes written so far, separate parts included. */
  get byteLength(): number {
    return this.position + this.#separateBytes
  }

  #allocate(capacityBytes: number): void {
    this.#bytes = Buffer.allocUnsafeSlow(capacityBytes)
    this.#view = new DataView(this.#bytes.buffer)
  }

  /**
   * Moves past `length` bytes, making room for them, and returns where they begin. The scratch memory may be
   * another one afterwards: look at it only then.
   */
  #advance(length: number): number {
    const start = this.position
    const end = start + length
    if (end > this.#bytes.length) {
      const full = this.#bytes
      this.#allocate(Math.max(end, full.length * 2))
      full.copy(this.#bytes, 0, 0, start)
    }
    this.position = end
    return start
  }

  bool(value: boolean): void {
    const at = this.#advance(1)
    this.#bytes[at] = value ? 1 : 0
  }

  int8(value: number): void {
    if ((value << 24) >> 24 !== value) throw outOfRange('int8', value)
    const at = this.#advance(1)
    this.#bytes[at] = value
  }

  int16(value: number): void {
    if ((value << 16) >> 16 !== value) throw outOfRange('int16', value)
    const at = this.#advance(2)
    this.#view.setInt16(at, value)
  }

  uint16(value: number): void {
    if ((value & 0xffff) !== value) throw outOfRange('uint16', value)
    const at = this.#advance(2)
    this.#view.setUint16(at, value)
  }

  int32(value: number): void {
    if ((value | 0) !== value) throw outOfRange('int32', value)
    const at = this.#advance(4)
    this.#view.setInt32(at, value)
  }

  uint32(value: number): void {
    if (value >>> 0 !== value) throw outOfRange('uint32', value)
    const at = this.#advance(4)
    this.#view.setUint32(at, value)
  }

  int64(value: bigint): void {
    if (typeof value !== 'bigint' || value < minInt64 || value > maxInt64) throw outOfRange('int64', value)
    const at = this.#advance(8)
    this.#view.setBigInt64(at, value)
  }

  float64(value: number): void {
    if (typeof value !== 'number') throw outOfRange('float64', value)
    const at = this.#advance(8)
    this.#view.setFloat64(at, value)
  }

  uuid(value: string): void {
    if (typeof value !== 'string' || value.length !== 22) throw outOfRange('uuid', value)
    const at = this.#advance(16)
    if (this.#bytes.write(value, at, 16, 'base64url') !== 16) throw outOfRange('uuid', value)
  }

  unsignedVarint(value: number): void {
    let at = this.#advance(varintBytes(value))
    while (value > 0x7f) {
      this.#bytes[at++] = (value & 0x7f) | 0x80
      value >>>= 7
    }
    this.#bytes[at] = value
  }

  string(value: string, flexible: boolean): void {
    if (typeof value !== 'string') throw outOfRange('string', value)
    // Up to this length even three bytes per UTF-16 unit leave the compact length in one byte, so that the
    // text can be written before its length is known.
    if (value.length <= 42) {
      const prefix = flexible ? 1 : 2
      const start = this.#advance(prefix + value.length * 3)
      const written = this.#writeShortText(value, start + prefix)
      if (flexible) this.#bytes[start] = written + 1
      else this.#view.setInt16(start, written)
      this.position = start + prefix + written
      return
    }
    const length = Buffer.byteLength(value)
    if (length > maxInt16) throw new ProtocolError('INVALID_VALUE', `string of ${length} bytes is too long`)
    if (flexible) this.unsignedVarint(length + 1)
    else this.int16(length)
    const at = this.#advance(length)
    this.#bytes.write(value, at, length, 'utf8')
  }

  /** Byte by byte while it is ASCII: below about 40 characters cheaper than a native call. */
  #writeShortText(value: string, start: number): number {
    const bytes = this.#bytes
    for (let i = 0; i < value.length; i++) {
      const unit = value.charCodeAt(i)
      if (unit > 0x7f) return i + bytes.write(value.slice(i), start + i, 'utf8')
      bytes[start + i] = unit
    }
    return value.length
  }

  /** Length of bytes, records or an array that is not null. */
  length(value: number, flexible: boolean): void {
    if (flexible) this.unsignedVarint(value + 1)
    else this.int32(value)
  }

  null(flexible: boolean): void {
    if (flexible) this.unsignedVarint(0)
    else this.int32(-1)
  }

  nullString(flexible: boolean): void {
    if (flexible) this.unsignedVarint(0)
    else this.int16(-1)
  }

  bytes(value: Part, flexible: boolean): void {
    const length = value?.byteLength
    if (!Number.isInteger(length) || length < 0 || length >= maxInt32) throw outOfRange('bytes', value)
    this.length(length, flexible)
    if (value instanceof Uint8Array && (length < minSeparatePartBytes || this.#inTaggedField)) {
      const at = this.#advance(length)
      this.#bytes.set(value, at)
    } else if (this.#inTaggedField) {
      throw new ProtocolError('INVALID_VALUE', 'a tagged field cannot hold external bytes')
    } else {
      this.#separate.push({ position: this.position, part: value })
      this.#separateBytes += length
    }
  }

  /** A tagged field: its tag, its size, then what `write` writes. */
  tagged(tag: number, write: () => void): void {
    this.unsignedVarint(tag)
    // One byte is kept for the size; the value moves up if it turns out to need more.
    const start = this.#advance(1)
    const outer = this.#inTaggedField
    this.#inTaggedField = true
    write()
    this.#inTaggedField = outer
    const size = this.position - start - 1
    const moreBytes = varintBytes(size) - 1
    if (moreBytes > 0) {
      this.#advance(moreBytes)
      this.#bytes.copyWithin(start + 1 + moreBytes, start + 1, start + 1 + size)
    }
    this.position = start
    this.unsignedVarint(size)
    this.position += size
  }

  setInt32(position: number, value: number): void {
    this.#view.setInt32(position, value)
  }

  /** What was written, in order: small fields joined, separate parts as they were given. */
  parts(): Part[] {
    const joined = Buffer.allocUnsafe(this.position)
    this.#bytes.copy(joined, 0, 0, this.position)
    const separate = this.#separate
    if (separate.length === 0) return [joined]
    // Not kept until the next message: the parts may be large.
    this.#separate = []
    const parts: Part[] = []
    let from = 0
    for (const { position, part } of separate) {
      if (position > from) parts.push(joined.subarray(from, position))
      if (part.byteLength > 0) parts.push(part)
      from = position
    }
    if (this.position > from) parts.push(joined.subarray(from))
    return parts
  }

  /** What was written, in one piece. There must be no external bytes in it. */
  toBytes(): Uint8Array {
    const parts = this.parts()
    if (parts.length === 1 && parts[0] instanceof Uint8Array) return parts[0]
    return Buffer.concat(parts.map(inMemory))
  }
}

function inMemory(part: Part): Uint8Array {
  if (part instanceof Uint8Array) return part
  throw new ProtocolError('INVALID_VALUE', 'external bytes in a message that stands alone')
}

function varintBytes(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : value < 0x10000000 ? 4 : 5
}

export function outOfRange(type: string, value: unknown): ProtocolError {
  return new ProtocolError('INVALID_VALUE', `not a value of type ${type}: ${describe(value)}`)
}

function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 50 ? `${value.slice(0, 50)}…` : value)
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}
