import { alignedMemory } from './aligned-memory.ts'
import { BLOCK_BYTES, paddedLength } from './log-format.ts'

/**
 * The memory groups are built in, written from, and read back from while they are recent: a ring.
 *
 * One block of memory serves three purposes, so that a byte is copied once on its way to disk and the newest
 * bytes cost no second copy as a cache. Places in the ring are virtual: they only grow, the memory behind
 * place `p` is `p % capacity`, and what lies more than one capacity behind the head has been overwritten. A
 * group never wraps: where it would, the rest of the lap is left out.
 */
/** A stretch of a file whose bytes are in the ring. */
interface Span {
  readonly fileNumber: number
  readonly filePosition: number
  readonly place: number
  byteLength: number
}

export class TailRing {
  readonly capacityBytes: number
  readonly #memory: Uint8Array
  /** Oldest first. Consecutive groups make one span, so there are few. */
  readonly #spans: Span[] = []
  #head = 0

  constructor(capacityBytes: number) {
    this.capacityBytes = paddedLength(capacityBytes)
    this.#memory = alignedMemory(this.capacityBytes)
  }

  /**
   * Where a group of `byteLength` would start, or null while there is no room: nothing at or after `floor`,
   * the start of the oldest group not yet durable, may be overwritten.
   */
  placeFor(byteLength: number, floor: number | null): number | null {
    let place = Math.ceil(this.#head / BLOCK_BYTES) * BLOCK_BYTES
    if ((place % this.capacityBytes) + byteLength > this.capacityBytes) {
      place = Math.ceil(place / this.capacityBytes) * this.capacityBytes
    }
    return this.hasRoom(place, byteLength, floor ?? place) ? place : null
  }

  /** True when a group that started at `place` may grow to `byteLength`. */
  hasRoom(place: number, byteLength: number, floor: number): boolean {
    return (
      (place % this.capacityBytes) + byteLength <= this.capacityBytes &&
      place + byteLength - floor <= this.capacityBytes
    )
  }

  /** Memory for [place, place + byteLength). What lay there a lap ago is gone from now on. */
  claim(place: number, byteLength: number): Uint8Array {
    this.#head = Math.max(this.#head, place + byteLength)
    const start = place % this.capacityBytes
    return this.#memory.subarray(start, start + byteLength)
  }

  /** From now on these bytes of a file are found in the ring, until they are overwritten. */
  remember(fileNumber: number, filePosition: number, place: number, byteLength: number): void {
    const last = this.#spans.at(-1)
    if (
      last !== undefined &&
      last.fileNumber === fileNumber &&
      last.filePosition + last.byteLength === filePosition &&
      last.place + last.byteLength === place
    ) {
      last.byteLength += byteLength
      return
    }
    while (this.#spans.length > 0 && this.#isOverwritten(this.#spans[0]!)) this.#spans.shift()
    this.#spans.push({ fileNumber, filePosition, place, byteLength })
  }

  /** The longest part of [position, position + byteLength) from its start that is still in the ring; may be empty. */
  recall(fileNumber: number, position: number, byteLength: number): Uint8Array | null {
    for (let index = this.#spans.length - 1; index >= 0; index--) {
      const span = this.#spans[index]!
      const within = position - span.filePosition
      if (span.fileNumber !== fileNumber || within < 0 || within >= span.byteLength) continue
      const place = span.place + within
      if (place < this.#head - this.capacityBytes) return null
      const start = place % this.capacityBytes
      return this.#memory.subarray(start, start + Math.min(byteLength, span.byteLength - within))
    }
    return null
  }

  #isOverwritten(span: Span): boolean {
    return span.place + span.byteLength <= this.#head - this.capacityBytes
  }
}
