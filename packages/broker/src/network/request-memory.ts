/**
 * Bounds the request bytes in memory over all connections: read from a socket and not yet answered.
 *
 * Above the bound a connection stops reading as soon as it delivers more, and takes its place in a queue;
 * places are called in order as answers free memory. Two cases need more than that:
 *
 * - Everything is held by requests that have not arrived completely, or wait behind something slow on their
 *   own connection: nothing is being executed, so nothing would ever be freed. Then one connection at a time
 *   has the turn to read although memory is full, until a request of it is complete or its time is up. Peers
 *   that stop in the middle of a request therefore slow the others down, but cannot stop them.
 * - Turns could be used to fill memory with more and more unfinished requests. When the bound is exceeded by
 *   more than the largest request allowed, the connection that holds most is closed.
 *
 * Requests that wait for records (long polls) are counted apart, under a bound of the same size: they free
 * nothing until their wait is over, and must not keep producers from producing meanwhile.
 */
export interface RequestMemoryHolder {
  readonly heldBytes: number
  pauseForMemory(): void
  resumeForMemory(): void
  closeForMemory(): void
}

/** A socket delivers at most this much at once. */
const READ_BYTES = 64 * 1024
const TURN_MS = 50

export class RequestMemory {
  readonly #maxBytes: number
  readonly #maxFrameBytes: number
  readonly #holders = new Set<RequestMemoryHolder>()
  readonly #waiting = new Set<RequestMemoryHolder>()
  #usedBytes = 0
  #parkedBytes = 0
  #executing = 0
  #turn: RequestMemoryHolder | undefined
  #turnTimer: NodeJS.Timeout | undefined
  #callScheduled = false

  constructor(maxBytes: number, maxFrameBytes: number) {
    this.#maxBytes = maxBytes
    this.#maxFrameBytes = maxFrameBytes
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  add(holder: RequestMemoryHolder): void {
    this.#holders.add(holder)
  }

  /** The holder's connection is closed; it has released, finished and unparked everything. */
  remove(holder: RequestMemoryHolder): void {
    this.#holders.delete(holder)
    this.#waiting.delete(holder)
    if (this.#turn === holder) this.#endTurn()
    this.#callNext()
  }

  /** Bytes arrived. Call `stopIfFull` when what can be executed of them has been started. */
  take(bytes: number): void {
    this.#usedBytes += bytes
  }

  /** Pauses the holder while memory is full, unless it has the turn. */
  stopIfFull(holder: RequestMemoryHolder): void {
    if (this.#usedBytes <= this.#maxBytes) return
    const hardMaxBytes = this.#maxBytes + this.#maxFrameBytes + READ_BYTES
    if (this.#usedBytes > hardMaxBytes && this.#executing === 0) this.#closeLargest()
    if (this.#turn === holder || this.#usedBytes <= this.#maxBytes || !this.#holders.has(holder)) return
    holder.pauseForMemory()
    this.#waiting.add(holder)
    this.#callNext()
  }

  /** A request is complete: a connection that had the turn for it gives the turn back. */
  frameArrived(holder: RequestMemoryHolder): void {
    if (this.#turn === holder) this.#endTurn()
  }

  release(bytes: number): void {
    this.#usedBytes -= bytes
    if (this.#waiting.size > 0) this.#callNext()
  }

  executionStarted(): void {
    this.#executing++
  }

  executionEnded(): void {
    this.#executing--
    if (this.#executing === 0 && this.#waiting.size > 0) this.#callNext()
  }

  /** Moves a request that starts to wait out of the count. False: too many wait, answer it at once. */
  park(bytes: number): boolean {
    if (this.#parkedBytes + bytes > this.#maxBytes) return false
    this.#parkedBytes += bytes
    this.#executing--
    this.release(bytes)
    return true
  }

  unpark(bytes: number): void {
    this.#parkedBytes -= bytes
  }

  #callNext(): void {
    if (this.#waiting.size === 0) return
    const roomBytes = this.#maxBytes - this.#usedBytes
    if (roomBytes < 0) {
      if (this.#executing === 0 && this.#turn === undefined) this.#giveTurn()
      return
    }
    let calls = Math.max(1, Math.floor(roomBytes / READ_BYTES))
    for (const holder of this.#waiting) {
      if (calls-- === 0) break
      this.#waiting.delete(holder)
      holder.resumeForMemory()
    }
    // Those called may have nothing to send. The rest is called when they had the chance to.
    if (this.#waiting.size > 0 && !this.#callScheduled) {
      this.#callScheduled = true
      setImmediate(() => {
        this.#callScheduled = false
        this.#callNext()
      })
    }
  }

  #giveTurn(): void {
    for (const holder of this.#waiting) {
      this.#waiting.delete(holder)
      this.#turn = holder
      this.#turnTimer = setTimeout(() => {
        this.#endTurn()
        this.stopIfFull(holder)
        this.#callNext()
      }, TURN_MS)
      this.#turnTimer.unref()
      holder.resumeForMemory()
      return
    }
  }

  #endTurn(): void {
    clearTimeout(this.#turnTimer)
    this.#turn = undefined
  }

  #closeLargest(): void {
    let largest: RequestMemoryHolder | undefined
    for (const holder of this.#holders) {
      if (largest === undefined || holder.heldBytes > largest.heldBytes) largest = holder
    }
    largest?.closeForMemory()
  }
}
