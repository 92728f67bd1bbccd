/**
 * The records the ledger produces: computed from a seed and an index, so that every client, in whatever
 * language, makes and checks the same ones. `java/Records.java` and `python/records.py` compute the same.
 *
 * Text of record i: the hexadecimal SHA-256 of "seed/i/purpose/block" for block 0, 1, 2, … joined and cut to
 * the length wanted. Large values are the raw hashes instead, so that they are binary and do not compress.
 */
import { createHash, type Hash } from 'node:crypto'

/** `every`: every kind of key, value and header there is, in all combinations. */
export type Shape = 'mixed' | 'one-byte' | 'large' | 'every'

/**
 * `varied`: three headers on every fifth record. `fixed`: the same two on each, for clients that can do no more.
 * `every`, and `every-but-null` for clients that cannot send a header without a value: none, empty, null, several of
 * one name, binary, and names and values beyond ASCII, in turn.
 */
export type HeaderStyle = 'varied' | 'fixed' | 'none' | EveryHeaderStyle
export type EveryHeaderStyle = 'every' | 'every-but-null'

/** Everything that decides the records of one topic. Record i goes to partition i modulo `partitions`. */
export interface RecordSet {
  seed: string
  shape: Shape
  headers: HeaderStyle
  partitions: number
  /** Timestamp of record i: this plus 10 ms × i. */
  baseTimestampMs: number
}

export interface InteropRecord {
  key: Buffer | null
  value: Buffer | null
  headers: readonly (readonly [string, Buffer | null])[]
  timestampMs: number
}

export const LARGE_VALUE_BYTES = 900_000
const TIMESTAMP_STEP_MS = 10

function hash(seed: string, index: number, purpose: string, block: number): Hash {
  return createHash('sha256').update(`${seed}/${index}/${purpose}/${block}`)
}

function text(seed: string, index: number, purpose: string, length: number): string {
  let result = ''
  for (let block = 0; result.length < length; block++)
    result += hash(seed, index, purpose, block).digest('hex')
  return result.slice(0, length)
}

function binary(seed: string, index: number, length: number): Buffer {
  const result = Buffer.alloc(length)
  for (let block = 0, at = 0; at < length; block++) {
    at += hash(seed, index, 'value', block).digest().copy(result, at)
  }
  return result
}

export function recordAt(set: RecordSet, index: number): InteropRecord {
  return {
    key: keyAt(set, index),
    value: valueAt(set, index),
    headers: headersAt(set, index),
    timestampMs: set.baseTimestampMs + index * TIMESTAMP_STEP_MS,
  }
}

function keyAt(set: RecordSet, index: number): Buffer | null {
  if (set.shape === 'mixed') return index % 7 === 0 ? null : Buffer.from(`key-${index % 100}`)
  if (set.shape === 'every') return everyKeyAt(index)
  return Buffer.from(`${set.shape}-${index}`)
}

function valueAt(set: RecordSet, index: number): Buffer | null {
  if (set.shape === 'every') return everyValueAt(set, index)
  if (set.shape === 'large') return binary(set.seed, index, LARGE_VALUE_BYTES)
  if (set.shape === 'one-byte' || index % 10 === 0) return Buffer.from(text(set.seed, index, 'value', 1))
  return Buffer.from(text(set.seed, index, 'value', 20 + ((index * 37) % 200)))
}

const KEY_KINDS = 5
const VALUE_KINDS = 5
const HEADER_KINDS = 6
/** Records after which every combination has come. */
export const EVERY_COMBINATION = KEY_KINDS * VALUE_KINDS * HEADER_KINDS
const BEYOND_ASCII = 'schlüssel-名-🎉'

function valueKind(index: number): number {
  return Math.floor(index / KEY_KINDS) % VALUE_KINDS
}

function everyKeyAt(index: number): Buffer | null {
  switch (index % KEY_KINDS) {
    case 0:
      // A record without a value needs a key: it says what is deleted.
      return valueKind(index) === 0 ? Buffer.from('deleted') : null
    case 1:
      return Buffer.alloc(0)
    case 2:
      return Buffer.of(0, 255, 128, index % 128)
    case 3:
      return Buffer.from(BEYOND_ASCII)
    default:
      return Buffer.from(`key-${index}`)
  }
}

function everyValueAt(set: RecordSet, index: number): Buffer | null {
  switch (valueKind(index)) {
    case 0:
      return null
    case 1:
      return Buffer.alloc(0)
    case 2:
      return Buffer.of(255, 0, 128, index % 128)
    case 3:
      return Buffer.from(`${BEYOND_ASCII}-${index}`)
    default:
      return Buffer.from(text(set.seed, index, 'value', 40))
  }
}

function everyHeadersAt(set: RecordSet, index: number): [string, Buffer | null][] {
  switch (Math.floor(index / (KEY_KINDS * VALUE_KINDS)) % HEADER_KINDS) {
    case 0:
      return []
    case 1:
      return [['empty', Buffer.alloc(0)]]
    case 2:
      return [['null', set.headers === 'every' ? null : Buffer.from('x')]]
    case 3:
      // One behind the other: some clients keep the headers of one name together.
      return [
        ['again', Buffer.from('1')],
        ['again', Buffer.from('2')],
        ['other', Buffer.from('3')],
      ]
    case 4:
      return [['binary', Buffer.of(0, 255, 128, 10, index % 128)]]
    default:
      return [[BEYOND_ASCII, Buffer.from(BEYOND_ASCII)]]
  }
}

function headersAt(set: RecordSet, index: number): [string, Buffer | null][] {
  if (set.shape === 'every') return everyHeadersAt(set, index)
  if (set.headers === 'fixed') {
    return [
      ['source', Buffer.from('interop')],
      ['seed', Buffer.from(set.seed)],
    ]
  }
  if (set.headers === 'none' || index % 5 !== 0) return []
  return [
    ['index', Buffer.from(String(index))],
    ['check', Buffer.from(text(set.seed, index, 'header', 24))],
    ['empty', Buffer.alloc(0)],
  ]
}

/** What a consumer found in one partition. Two digests, because not every producer can choose timestamps. */
export interface Consumed {
  count: number
  firstOffset: number
  lastOffset: number
  /** The first offset that was not one more than the one before it, or null. */
  offsetGap: string | null
  /** SHA-256 over keys, values and headers in canonical form, hexadecimal. */
  digest: string
  /** SHA-256 over the timestamps, eight bytes each. */
  timestampDigest: string
}

/**
 * Canonical form of a record: key, value, count of headers, then name and value of each. Lengths and counts
 * are four bytes, big-endian; a null has length 0xffffffff and no bytes.
 */
export class RecordDigest {
  readonly #content = createHash('sha256')
  readonly #timestamps = createHash('sha256')
  readonly #word = Buffer.alloc(4)
  #count = 0
  #firstOffset = -1
  #lastOffset = -1
  #offsetGap: string | null = null

  get count(): number {
    return this.#count
  }

  get nextOffset(): number {
    return this.#lastOffset + 1
  }

  add(
    offset: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers: readonly (readonly [string, Uint8Array | null])[],
    timestampMs: number,
  ): void {
    if (this.#count === 0) this.#firstOffset = offset
    else if (offset !== this.#lastOffset + 1) this.#offsetGap ??= `${offset} after ${this.#lastOffset}`
    this.#lastOffset = offset
    this.#count++
    this.#bytes(key)
    this.#bytes(value)
    this.#number(headers.length)
    for (const [name, headerValue] of headers) {
      this.#bytes(Buffer.from(name))
      this.#bytes(headerValue)
    }
    const timestamp = Buffer.alloc(8)
    timestamp.writeBigInt64BE(BigInt(timestampMs))
    this.#timestamps.update(timestamp)
  }

  end(): Consumed {
    return {
      count: this.#count,
      firstOffset: this.#firstOffset,
      lastOffset: this.#lastOffset,
      offsetGap: this.#offsetGap,
      digest: this.#content.digest('hex'),
      timestampDigest: this.#timestamps.digest('hex'),
    }
  }

  #bytes(bytes: Uint8Array | null): void {
    this.#number(bytes === null ? 0xffffffff : bytes.byteLength)
    if (bytes !== null) this.#content.update(bytes)
  }

  #number(value: number): void {
    this.#word.writeUInt32BE(value)
    this.#content.update(this.#word)
  }
}

/** What must be found in one partition that holds records 0…total-1 of the set, from offset `fromOffset` on. */
export function expectedRecords(
  set: RecordSet,
  partition: number,
  fromOffset: number,
  total: number,
): Consumed {
  const digest = new RecordDigest()
  for (let offset = fromOffset; ; offset++) {
    const index = offset * set.partitions + partition
    if (index >= total) return digest.end()
    const record = recordAt(set, index)
    digest.add(offset, record.key, record.value, record.headers, record.timestampMs)
  }
}
