/**
 * What a record holds, computed from who wrote it and which of the writer's records it is: a reader can tell
 * both from the bytes, and check every one of them, without anybody keeping the bytes.
 *
 * Value: writer u32, serial u32, filling u32 (its length in bytes), then the filling, a slice of a pool of
 * random bytes that is the same in every run.
 */
import { Random } from './random.ts'

const PREFIX_BYTES = 12
const POOL_BYTES = 1024 * 1024
const SMALL_FILLING_BYTES = 2_000
const LARGE_FILLING_BYTES = 400_000
/** One record in this many is large. */
const LARGE_EVERY = 150

const pool = makePool()

export interface Identity {
  readonly writer: number
  readonly serial: number
}

/** A record this large stands alone in its batch, which would otherwise be longer than brokers take. */
export function isLarge({ writer, serial }: Identity): boolean {
  return mix(writer, serial) % LARGE_EVERY === 0
}

export function recordValue(identity: Identity): Uint8Array {
  const { start, length } = filling(identity)
  const value = Buffer.allocUnsafe(PREFIX_BYTES + length)
  value.writeUInt32BE(identity.writer, 0)
  value.writeUInt32BE(identity.serial, 4)
  value.writeUInt32BE(length, 8)
  pool.copy(value, PREFIX_BYTES, start, start + length)
  return value
}

/** Whose record this is; null when any byte of it is not as it was written. */
export function identify(value: Uint8Array | null): Identity | null {
  if (value === null || value.byteLength < PREFIX_BYTES) return null
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  const identity = { writer: bytes.readUInt32BE(0), serial: bytes.readUInt32BE(4) }
  const { start, length } = filling(identity)
  if (bytes.readUInt32BE(8) !== length || bytes.byteLength !== PREFIX_BYTES + length) return null
  return bytes.compare(pool, start, start + length, PREFIX_BYTES) === 0 ? identity : null
}

function filling(identity: Identity): { start: number; length: number } {
  const mixed = mix(identity.writer, identity.serial)
  const length = isLarge(identity) ? LARGE_FILLING_BYTES - (mixed % 100_000) : mixed % SMALL_FILLING_BYTES
  return { start: mix(mixed, 1) % (POOL_BYTES - LARGE_FILLING_BYTES), length }
}

function mix(a: number, b: number): number {
  let mixed = Math.imul(a + 0x9e37, 0x85ebca6b) ^ Math.imul(b + 0x79b9, 0xc2b2ae35)
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x27d4eb2f)
  return (mixed ^ (mixed >>> 13)) >>> 0
}

function makePool(): Buffer {
  const random = new Random(1)
  const bytes = Buffer.allocUnsafe(POOL_BYTES)
  for (let position = 0; position < POOL_BYTES; position += 4) {
    bytes.writeUInt32LE(Math.floor(random.next() * 2 ** 32), position)
  }
  return bytes
}
