import { setImmediate as turnEnd } from 'node:timers/promises'
import { ErrorCode } from '@streambus/protocol'
import { type AppendBatch, type LogId, StorageError } from '@streambus/storage'
import type { TopicSettings } from '../settings/topic-settings.ts'
import { recompressBatch } from './recompress-batch.ts'
import type { TransactionalResult } from './transactional-append.ts'

/** Bytes worked on between two turns of those who read and write. */
const WORK_STEP_BYTES = 64 * 1024

/** A batch that is compressed anew, or stands behind one of its log that is. */
export interface QueuedBatch {
  readonly batch: AppendBatch
  /** What to store it by; null where it is stored as it is, when what came before it is. */
  readonly recompressedBy: TopicSettings | null
  readonly arrivedAtMs: number
  /** Appends it in the form that is stored. The order of the calls is the order of the batches. */
  readonly append: (batch: AppendBatch) => Promise<readonly TransactionalResult[]>
}

interface Waiting extends QueuedBatch {
  readonly resolve: (result: TransactionalResult | Promise<TransactionalResult>) => void
  readonly reject: (error: unknown) => void
}

/**
 * Batches that their topics store in another codec than they were sent in (`compression.type`), one after the other,
 * in the order in which they came. One at a time bounds the memory: decompressed records can be many times as large as
 * what was sent. It leaves the other threads of the pool to the disk, too.
 *
 * What comes for a log that has a batch in here has to come in here as well (`holds`), whatever its codec: otherwise
 * it would overtake, and an idempotent producer's sequence would have a gap. Other logs are not concerned.
 */
export class Recompression {
  readonly #maxWaitingBytes: number
  #waiting: Waiting[] = []
  /** Batches in here, of each log that has any. */
  readonly #batchesOf = new Map<LogId, number>()
  #waitingBytes = 0
  #running: Promise<void> | undefined
  #closed = false

  /**
   * @param maxWaitingBytes of batches that may wait; further ones are refused. Requests that have no answer yet are
   * bounded elsewhere, those whose connection has gone meanwhile only here
   */
  constructor(maxWaitingBytes: number) {
    this.#maxWaitingBytes = maxWaitingBytes
  }

  /** Whether a batch of the log is in here. */
  holds(logId: LogId): boolean {
    return this.#batchesOf.has(logId)
  }

  /**
   * Resolves with what became of the batch, which is not appended before the caller's turn has ended. Takes a copy of
   * its bytes. Rejects where a codec cannot be loaded.
   */
  add(queued: QueuedBatch): Promise<TransactionalResult> {
    const { logId, bytes } = queued.batch
    if (this.#closed) return Promise.resolve(closed())
    if (this.#waitingBytes + bytes.byteLength > this.#maxWaitingBytes) {
      const errorMessage = `${this.#waitingBytes} bytes of batches wait for being compressed already.`
      return Promise.resolve({ error: { errorCode: ErrorCode.KAFKA_STORAGE_ERROR, errorMessage } })
    }
    this.#waitingBytes += bytes.byteLength
    this.#batchesOf.set(logId, (this.#batchesOf.get(logId) ?? 0) + 1)
    // The request's memory is larger, and what holds it is not bounded once the connection has gone.
    const batch = { ...queued.batch, bytes: Uint8Array.from(bytes) }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...queued, batch, resolve, reject })
      this.#running ??= this.#run()
    })
  }

  /** Refuses what waits. Resolves when what is under way has ended. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#running
  }

  async #run(): Promise<void> {
    // Whoever added the first batch may have others of the same log to append before it.
    await undefined
    let workedBytes = 0
    while (this.#waiting.length > 0) {
      const batches = this.#waiting
      this.#waiting = []
      for (const next of batches) {
        const { logId, bytes } = next.batch
        try {
          await this.#store(next)
        } catch (error) {
          next.reject(error)
        }
        this.#waitingBytes -= bytes.byteLength
        const left = this.#batchesOf.get(logId)! - 1
        if (left === 0) this.#batchesOf.delete(logId)
        else this.#batchesOf.set(logId, left)
        workedBytes += bytes.byteLength
        if (workedBytes >= WORK_STEP_BYTES) {
          await turnEnd()
          workedBytes = 0
        }
      }
    }
    this.#running = undefined
  }

  /** Resolves when the append has begun: what comes next need not wait until it is durable. */
  async #store({ batch, recompressedBy, arrivedAtMs, append, resolve }: Waiting): Promise<void> {
    let { bytes } = batch
    if (recompressedBy !== null && !this.#closed) {
      const recompressed = await recompressBatch(bytes, recompressedBy, arrivedAtMs)
      if (recompressed.refusal !== undefined) {
        resolve({ error: recompressed.refusal })
        return
      }
      bytes = recompressed.bytes
    }
    resolve(this.#closed ? closed() : append({ ...batch, bytes }).then(([result]) => result!))
  }
}

function closed(): TransactionalResult {
  return { error: new StorageError('CLOSED', 'the broker is closing') }
}
