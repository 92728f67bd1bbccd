import type { Socket } from 'node:net'
import type { Part } from '@streambus/protocol'
import type { RecordBytes } from '@streambus/storage'
import type { ResponsePieces } from './response-pieces.ts'
import type { TurnEnd, TurnEndTask } from './turn-end.ts'
import { COUNTED_RESPONSE_BYTES, type ResponseHolder, type UnsentResponses } from './unsent-responses.ts'

/** Most bytes given to the socket at once: when it has taken them, the client is known to be reading. */
const MAX_WRITE_BYTES = 256 * 1024

/**
 * Writes one connection's responses, in the order given.
 *
 * Small responses that became ready in one turn leave in one write. A response with records is streamed: one
 * borrowed piece of memory is filled, written, and filled again when the socket has taken it, so that a
 * consumer that reads slowly, or never, holds one piece and no more. There is at most one write outstanding.
 */
export class ResponseWriter implements TurnEndTask {
  readonly #socket: Socket
  readonly #pieces: ResponsePieces
  readonly #turnEnd: TurnEnd
  readonly #unsent: UnsentResponses
  readonly #holder: ResponseHolder
  readonly #onReady: () => void
  readonly #onFailure: (error: unknown) => void
  #parts: Part[] = []
  #recordParts = 0
  /** Bytes read so far of the records at the front of the queue. */
  #recordBytesRead = 0
  /** Bytes beside the records in what waits to be written. */
  #plainBytes = 0
  #scheduled = false
  #streaming = false
  #awaitingDrain = false
  #closed = false

  /**
   * @param holder the connection, which unsent bytes are counted for
   * @param onReady called after a write, when the socket takes more
   * @param onFailure called when records could not be read; the response can then not be completed
   */
  constructor(
    socket: Socket,
    pieces: ResponsePieces,
    turnEnd: TurnEnd,
    unsent: UnsentResponses,
    holder: ResponseHolder,
    onReady: () => void,
    onFailure: (error: unknown) => void,
  ) {
    this.#socket = socket
    this.#pieces = pieces
    this.#turnEnd = turnEnd
    this.#unsent = unsent
    this.#holder = holder
    this.#onReady = onReady
    this.#onFailure = onFailure
    socket.on('drain', () => {
      if (!this.#awaitingDrain) return
      this.#awaitingDrain = false
      this.#unsent.release(this.#holder)
      this.#continue()
    })
  }

  /**
   * True while the socket takes no more, or records or a full write wait to be sent: no further request of this
   * connection should be started, so that it holds one large answer at a time, however many it asks for in
   * one turn.
   */
  get isCongested(): boolean {
    return this.#isBusy || this.#recordParts > 0 || this.#plainBytes >= MAX_WRITE_BYTES
  }

  get #isBusy(): boolean {
    return this.#streaming || this.#awaitingDrain
  }

  /** True when everything given has been handed to the socket. */
  get isIdle(): boolean {
    return this.#parts.length === 0 && !this.isCongested
  }

  add(parts: readonly Part[]): void {
    if (this.#closed) {
      closeRecords(parts)
      return
    }
    for (const part of parts) {
      this.#parts.push(part)
      if (part instanceof Uint8Array) this.#plainBytes += part.byteLength
      else this.#recordParts++
    }
    // From now on and not from when it is written: many may be answered before the first write of the turn.
    if (this.#plainBytes >= COUNTED_RESPONSE_BYTES) this.#unsent.hold(this.#holder, this.#plainBytes)
    if (this.#scheduled || this.#isBusy || this.#closed) return
    this.#scheduled = true
    this.#turnEnd.schedule(this)
  }

  runAtTurnEnd(): void {
    this.#scheduled = false
    if (this.#closed || this.#isBusy || this.#parts.length === 0) return
    if (this.#recordParts > 0) {
      this.#streaming = true
      this.#stream().catch((error: unknown) => {
        if (!this.#closed) this.#onFailure(error)
      })
      return
    }
    const parts = this.#parts as Uint8Array[]
    const bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts)
    this.#parts = []
    this.#plainBytes = 0
    let position = 0
    while (position < bytes.byteLength) {
      const start = position
      position = Math.min(start + MAX_WRITE_BYTES, bytes.byteLength)
      if (this.#socket.write(position - start < bytes.byteLength ? bytes.subarray(start, position) : bytes))
        continue
      this.#awaitingDrain = true
      if (position < bytes.byteLength) {
        this.#parts = [bytes.subarray(position)]
        this.#plainBytes = bytes.byteLength - position
      }
      this.#unsent.hold(this.#holder, bytes.byteLength - start)
      return
    }
    this.#unsent.release(this.#holder)
    this.#onReady()
  }

  /** The connection is gone: gives back what waiting responses hold. */
  close(): void {
    this.#closed = true
    closeRecords(this.#parts)
    this.#parts = []
    this.#recordParts = 0
  }

  async #stream(): Promise<void> {
    const isCounted = this.#plainBytes >= COUNTED_RESPONSE_BYTES
    while (this.#parts.length > 0) {
      const borrowed = this.#pieces.borrow()
      const piece = borrowed instanceof Promise ? await borrowed : borrowed
      try {
        if (this.#closed) return
        const filled = await this.#fill(piece)
        if (this.#closed) return
        if (isCounted) this.#unsent.hold(this.#holder, this.#plainBytes)
        if (this.#closed) return
        this.#pieces.sent(piece, this.#holder)
        await this.#write(piece.subarray(0, filled))
      } finally {
        this.#pieces.giveBack(piece)
      }
      if (this.#closed) return
    }
    this.#streaming = false
    if (isCounted) this.#unsent.release(this.#holder)
    this.#continue()
  }

  /** Fills the piece from the front of the queue. */
  async #fill(piece: Buffer): Promise<number> {
    let filled = 0
    let done = 0
    while (filled < piece.byteLength && done < this.#parts.length) {
      const part = this.#parts[done]!
      if (part instanceof Uint8Array) {
        const size = Math.min(part.byteLength, piece.byteLength - filled)
        piece.set(size === part.byteLength ? part : part.subarray(0, size), filled)
        filled += size
        this.#plainBytes -= size
        if (size === part.byteLength) done++
        else this.#parts[done] = part.subarray(size)
        continue
      }
      const records = part as RecordBytes
      const read = records.readInto(filled === 0 ? piece : piece.subarray(filled))
      const size = typeof read === 'number' ? read : await read
      if (this.#closed) {
        // `close` may have run while this read was under way and closes only what was in the queue then.
        records.close()
        return 0
      }
      filled += size
      this.#recordBytesRead += size
      if (this.#recordBytesRead === records.byteLength) {
        records.close()
        this.#recordParts--
        this.#recordBytesRead = 0
        done++
      } else if (size === 0 || this.#recordBytesRead > records.byteLength) {
        throw new Error(
          `storage gave ${this.#recordBytesRead} bytes of records where it had announced ${records.byteLength}`,
        )
      }
    }
    this.#parts.splice(0, done)
    return filled
  }

  #write(bytes: Buffer): Promise<void> {
    return new Promise((resolve) => {
      // An error here is the socket's, which reports it by itself and closes the connection.
      this.#socket.write(bytes, () => resolve())
    })
  }

  #continue(): void {
    if (this.#closed) return
    if (this.#parts.length > 0) this.runAtTurnEnd()
    else this.#onReady()
  }
}

function closeRecords(parts: readonly Part[]): void {
  for (const part of parts) {
    if (!(part instanceof Uint8Array)) (part as RecordBytes).close()
  }
}
