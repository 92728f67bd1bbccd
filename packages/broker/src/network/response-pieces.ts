import { CHECK_INTERVAL_MS, type ResponseHolder, STALLED_AFTER_MS } from './unsent-responses.ts'

/**
 * Memory for responses on their way to sockets, borrowed in pieces and bounded over all connections.
 *
 * While few connections are slow, a piece is large and a fetch response goes out in few writes. The more
 * pieces are stuck with consumers that do not read, the smaller the next ones get, so that thousands of them
 * cannot use up the memory that the others need. When all of it is lent out, borrowers wait in order, and the
 * connections that have not taken a piece for long are closed, one after the other, until nobody waits.
 */
type Recipient = Pick<ResponseHolder, 'closeForUnreadResponse'>

interface Tier {
  readonly pieceBytes: number
  /** This tier is lent from while less than this share of the bound is lent out. */
  readonly upToShare: number
}

const TIERS: readonly Tier[] = [
  { pieceBytes: 256 * 1024, upToShare: 0.5 },
  { pieceBytes: 32 * 1024, upToShare: 0.75 },
  { pieceBytes: 4 * 1024, upToShare: 1 },
]

/** Free pieces kept for reuse, per tier. First use of fresh memory costs more than the copy into it. */
const MAX_FREE_BYTES_PER_TIER = 8 * 1024 * 1024

export class ResponsePieces {
  readonly #maxBytes: number
  readonly #free: Buffer[][] = TIERS.map(() => [])
  /** Pieces given to sockets, the one that waits for its client the longest first. */
  readonly #sent = new Map<Buffer, { readonly recipient: Recipient; readonly sinceMs: number }>()
  readonly #waiting = new Set<(piece: Buffer) => void>()
  #lentBytes = 0
  #check: NodeJS.Timeout | undefined

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get lentBytes(): number {
    return this.#lentBytes
  }

  /** A piece, at once when there is one. Its content is whatever was in it before. */
  borrow(): Buffer | Promise<Buffer> {
    const piece = this.#waiting.size === 0 ? this.#take() : undefined
    if (piece !== undefined) return piece
    this.#check ??= setInterval(() => this.#closeStalled(), CHECK_INTERVAL_MS).unref()
    return new Promise((resolve) => this.#waiting.add(resolve))
  }

  /** From now on it is the client that keeps the piece, by not reading, and no longer the disk. */
  sent(piece: Buffer, recipient: Recipient): void {
    this.#sent.set(piece, { recipient, sinceMs: performance.now() })
  }

  giveBack(piece: Buffer): void {
    this.#sent.delete(piece)
    this.#lentBytes -= piece.byteLength
    const tier = TIERS.findIndex(({ pieceBytes }) => pieceBytes === piece.byteLength)
    const free = this.#free[tier]
    if (free !== undefined && (free.length + 1) * piece.byteLength <= MAX_FREE_BYTES_PER_TIER)
      free.push(piece)
    for (const resolve of this.#waiting) {
      const next = this.#take()
      if (next === undefined) return
      this.#waiting.delete(resolve)
      resolve(next)
    }
    clearInterval(this.#check)
    this.#check = undefined
  }

  /** The oldest only: large pieces are lent first, and one makes room for many of the small ones lent by then. */
  #closeStalled(): void {
    for (const [piece, { recipient, sinceMs }] of this.#sent) {
      if (performance.now() - sinceMs >= STALLED_AFTER_MS) recipient.closeForUnreadResponse(piece.byteLength)
      return
    }
  }

  #take(): Buffer | undefined {
    for (const [index, { pieceBytes, upToShare }] of TIERS.entries()) {
      if (this.#lentBytes + pieceBytes > this.#maxBytes * upToShare) continue
      this.#lentBytes += pieceBytes
      return this.#free[index]!.pop() ?? Buffer.allocUnsafeSlow(pieceBytes)
    }
    return undefined
  }
}
