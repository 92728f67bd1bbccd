/**
 * Bounds the responses in memory that clients do not read, over all connections. Records are not among them,
 * they are sent from borrowed pieces; but a list of all partitions is megabytes for a question of a few bytes.
 *
 * Above the bound, requests that can have large answers are not started. When that lasts, the connections
 * that have taken nothing for some time are closed, so that nobody can keep the others waiting by not reading.
 *
 * Requests to produce are started all the same: producers must not wait for somebody else's client to read. Their
 * answers are small unless somebody makes them large. Where they come to twice the bound, beside the largest, the
 * connection with the largest is closed.
 */
export interface ResponseHolder {
  /** There is room again. */
  resumeForResponses(): void
  closeForUnreadResponse(unsentBytes: number): void
}

/** Below this a response is not worth counting: the socket's own buffer has as much. */
export const COUNTED_RESPONSE_BYTES = 16 * 1024
/** A reader that takes nothing for so long while others wait has stalled. */
export const STALLED_AFTER_MS = 500
export const CHECK_INTERVAL_MS = 100

export class UnsentResponses {
  readonly #maxBytes: number
  /** The one that has taken nothing for longest first. */
  readonly #held = new Map<ResponseHolder, { readonly bytes: number; readonly sinceMs: number }>()
  readonly #waiting = new Set<ResponseHolder>()
  #heldBytes = 0
  #check: NodeJS.Timeout | undefined
  #callScheduled = false

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  /** The holder has this much to write, which its client has to take first. */
  hold(holder: ResponseHolder, bytes: number): void {
    this.#forget(holder)
    this.#held.set(holder, { bytes, sinceMs: performance.now() })
    this.#heldBytes += bytes
    if (this.#heldBytes > 2 * this.#maxBytes) this.#closeLargest()
  }

  /** The client has taken it all, or is gone. */
  release(holder: ResponseHolder): void {
    if (this.#held.size === 0) return
    this.#forget(holder)
    if (this.#waiting.size > 0) this.#callWaiting()
  }

  /** Whether a request with a large answer may be started now; if not, the holder is called when it may. */
  mayStart(holder: ResponseHolder): boolean {
    if (this.#heldBytes <= this.#maxBytes) return true
    this.#waiting.add(holder)
    this.#check ??= setInterval(() => this.#closeStalled(), CHECK_INTERVAL_MS).unref()
    return false
  }

  /** The holder's connection is closed. */
  remove(holder: ResponseHolder): void {
    this.#waiting.delete(holder)
    this.release(holder)
  }

  #forget(holder: ResponseHolder): void {
    const before = this.#held.get(holder)
    if (before === undefined) return
    this.#heldBytes -= before.bytes
    this.#held.delete(holder)
  }

  /** One in a turn: what it starts is counted when the answer is made, and until then there seems to be room. */
  #callWaiting(): void {
    if (this.#callScheduled) return
    for (const holder of this.#waiting) {
      if (this.#heldBytes > this.#maxBytes) return
      this.#waiting.delete(holder)
      holder.resumeForResponses()
      break
    }
    if (this.#waiting.size > 0) {
      this.#callScheduled = true
      setImmediate(() => {
        this.#callScheduled = false
        this.#callWaiting()
      })
      return
    }
    clearInterval(this.#check)
    this.#check = undefined
  }

  #closeLargest(): void {
    let largest: { readonly holder: ResponseHolder; readonly bytes: number } | undefined
    for (const [holder, { bytes }] of this.#held) {
      if (largest === undefined || bytes > largest.bytes) largest = { holder, bytes }
    }
    if (largest === undefined || this.#heldBytes - largest.bytes <= 2 * this.#maxBytes) return
    largest.holder.closeForUnreadResponse(largest.bytes)
  }

  #closeStalled(): void {
    const nowMs = performance.now()
    for (const [holder, { bytes, sinceMs }] of this.#held) {
      if (this.#heldBytes <= this.#maxBytes || nowMs - sinceMs < STALLED_AFTER_MS) break
      holder.closeForUnreadResponse(bytes)
    }
    this.#callWaiting()
  }
}
