import type { Offset } from '../log-store.ts'
import { hashKey, KEY_HASH_SEED_BYTES, KEY_HASH_WORDS } from './key-hash.ts'

/** Memory for the keys of one pass: two million of them. A log with more of them takes more passes. */
export const MAX_KEY_BYTES = 64 * 1024 ** 2

/** Four words of hash and the offset as a double. */
const SLOT_BYTES = 24
const WORDS = SLOT_BYTES / 4
const DOUBLES = SLOT_BYTES / 8
/** Of the slots. Above it the way to a free slot gets long: 8 slots on average here, 50 at nine tenths. */
const MAX_LOAD = 0.75

/**
 * The last offset of each record key, in memory of a fixed size: 32,767 keys fit into a MiB, whatever their
 * length. A slot has 24 bytes, and three quarters of the slots may be taken; nothing is allocated after the
 * construction.
 *
 * In place of a key stands its hash of 128 bits, under a secret that changes with each map. The odds that any
 * two of n keys have the same, and that the older record is lost for it, are n² / 2^129: below 10^-26 for the two
 * million keys of 64 MiB, and nobody can choose keys to better them.
 */
export class KeyOffsets {
  /** Keys that fit. */
  readonly maxKeys: number
  readonly #slots: number
  readonly #seed: Int32Array
  readonly #hash = new Int32Array(KEY_HASH_WORDS)
  readonly #words: Int32Array
  /** The same memory. The third double of a slot is the offset plus 1, so that 0 says that the slot is free. */
  readonly #doubles: Float64Array
  #size = 0

  /**
   * @param memoryBytes at least 48
   * @param seed 16 random bytes nobody else knows
   */
  constructor(memoryBytes: number, seed: Uint8Array) {
    if (seed.byteLength !== KEY_HASH_SEED_BYTES) {
      throw new RangeError(`the seed must have ${KEY_HASH_SEED_BYTES} bytes, not ${seed.byteLength}`)
    }
    this.#slots = Math.floor(memoryBytes / SLOT_BYTES)
    this.maxKeys = Math.floor(this.#slots * MAX_LOAD)
    if (!(this.maxKeys >= 1)) throw new RangeError(`${memoryBytes} bytes hold no key`)
    const memory = new ArrayBuffer(this.#slots * SLOT_BYTES)
    this.#words = new Int32Array(memory)
    this.#doubles = new Float64Array(memory)
    this.#seed = new Int32Array(Uint8Array.from(seed).buffer)
  }

  /** Memory for so many keys. */
  static bytesFor(keys: number): number {
    return Math.ceil(Math.max(keys, 1) / MAX_LOAD + 1) * SLOT_BYTES
  }

  /** Keys it holds. */
  get size(): number {
    return this.#size
  }

  get byteLength(): number {
    return this.#words.byteLength
  }

  /**
   * Remembers that the key in `bytes`, from `start` to before `end`, has a record at `offset`; the greatest
   * offset of a key counts. False: the key is new and there is no room for it.
   */
  put(bytes: Uint8Array, start: number, end: number, offset: Offset): boolean {
    this.hash(bytes, start, end, this.#hash, 0)
    return this.putHash(this.#hash, 0, offset)
  }

  /** The greatest offset that was put for the key; -1 where there is none. */
  get(bytes: Uint8Array, start: number, end: number): Offset {
    this.hash(bytes, start, end, this.#hash, 0)
    return this.getHash(this.#hash, 0)
  }

  /**
   * The first half of `put` and `get`: writes the hash of a key into the four words of `hashes` at `at`. Whoever
   * has many keys hashes some dozens of them first. Then the processor waits for the memory of several slots at
   * once, which is most of the time a key takes in a large map.
   */
  hash(bytes: Uint8Array, start: number, end: number, hashes: Int32Array, at: number): void {
    hashKey(this.#seed, bytes, start, end, hashes, at)
  }

  putHash(hashes: Int32Array, at: number, offset: Offset): boolean {
    const slot = this.#find(hashes, at)
    const doubles = this.#doubles
    const known = doubles[slot * DOUBLES + 2]!
    if (known === 0) {
      if (this.#size === this.maxKeys) return false
      this.#size++
      const words = this.#words
      const first = slot * WORDS
      words[first] = hashes[at]!
      words[first + 1] = hashes[at + 1]!
      words[first + 2] = hashes[at + 2]!
      words[first + 3] = hashes[at + 3]!
    } else if (known > offset) return true
    doubles[slot * DOUBLES + 2] = offset + 1
    return true
  }

  getHash(hashes: Int32Array, at: number): Offset {
    return this.#doubles[this.#find(hashes, at) * DOUBLES + 2]! - 1
  }

  /** Forgets all keys. */
  clear(): void {
    this.#words.fill(0)
    this.#size = 0
  }

  /** The slot of the key, or the free one where it belongs. */
  #find(hashes: Int32Array, at: number): number {
    const h0 = hashes[at]!
    const h1 = hashes[at + 1]!
    const h2 = hashes[at + 2]!
    const h3 = hashes[at + 3]!
    const words = this.#words
    const doubles = this.#doubles
    const slots = this.#slots
    let slot = Math.floor((h0 >>> 0) * slots * 2 ** -32)
    for (;;) {
      if (doubles[slot * DOUBLES + 2] === 0) return slot
      const first = slot * WORDS
      if (
        words[first] === h0 &&
        words[first + 1] === h1 &&
        words[first + 2] === h2 &&
        words[first + 3] === h3
      ) {
        return slot
      }
      if (++slot === slots) slot = 0
    }
  }
}
