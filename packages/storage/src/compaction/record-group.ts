import type { RecordCursor } from '@streambus/protocol'
import { checkOffsetDelta } from './checked-batch.ts'
import { KEY_HASH_WORDS } from './key-hash.ts'
import type { KeyOffsets } from './key-offsets.ts'

const MAX_RECORDS = 64

/**
 * Some dozens of records of a batch, read and hashed before the map is asked about the first of them (see
 * `KeyOffsets.hash`). In columns, so that no record needs an object; used again for the next ones.
 */
export class RecordGroup {
  count = 0
  /** Where each begins; one more says where the last one ends. */
  readonly starts = new Int32Array(MAX_RECORDS + 1)
  readonly offsetDeltas = new Int32Array(MAX_RECORDS)
  readonly timestampDeltas = new Float64Array(MAX_RECORDS)
  /** 1 where there is a key, likewise a value. */
  readonly hasKey = new Uint8Array(MAX_RECORDS)
  readonly hasValue = new Uint8Array(MAX_RECORDS)
  /** Of each key, if there is one, at four times its index. */
  readonly hashes = new Int32Array(MAX_RECORDS * KEY_HASH_WORDS)
  /** The greatest offset the map has for each key, -1 if none, after `lookUp`. */
  readonly knownOffsets = new Float64Array(MAX_RECORDS)

  /**
   * Reads the next records, at most `left`, and checks that their offsets grow from `previousDelta` to at most
   * `lastOffsetDelta`. Throws ProtocolError.
   */
  read(
    cursor: RecordCursor,
    left: number,
    previousDelta: number,
    lastOffsetDelta: number,
    map: KeyOffsets,
  ): void {
    const count = Math.min(left, MAX_RECORDS)
    const { bytes } = cursor
    let deltaBefore = previousDelta
    for (let i = 0; i < count; i++) {
      this.starts[i] = cursor.position
      cursor.next()
      checkOffsetDelta(cursor, deltaBefore, lastOffsetDelta)
      deltaBefore = cursor.offsetDelta
      const { keyStart, keyLength } = cursor
      this.offsetDeltas[i] = deltaBefore
      this.timestampDeltas[i] = cursor.timestampDelta
      this.hasKey[i] = keyLength < 0 ? 0 : 1
      this.hasValue[i] = cursor.valueLength < 0 ? 0 : 1
      if (keyLength >= 0) map.hash(bytes, keyStart, keyStart + keyLength, this.hashes, i * KEY_HASH_WORDS)
    }
    this.starts[count] = cursor.position
    this.count = count
  }

  /** Looks up the keys of the records that were read. */
  lookUp(map: KeyOffsets): void {
    const { count, hashes, hasKey, knownOffsets } = this
    for (let i = 0; i < count; i++) {
      knownOffsets[i] = hasKey[i] === 0 ? -1 : map.getHash(hashes, i * KEY_HASH_WORDS)
    }
  }
}
