import type { LogStore, Offset } from '@streambus/storage'
import type { Logger } from '../logger.ts'
import type { CoordinatorLog, CoordinatorRecord } from './coordinator-log.ts'
import type { Scheduled, Scheduler } from './scheduler.ts'
import type { Turns } from './turns.ts'

/**
 * Keeps an internal log about as long as the state it holds, so that a start replays what is, not everything
 * that ever was.
 *
 * When a log has grown to a multiple of its state, each key's state is appended again, in that key's turn, so
 * that no change can come between what is written and what it was read from. Then everything before the first
 * of these records is superseded, and the log's start moves there. Only the offsets of open transactions are
 * not part of any state yet: the start stays at what was the last stable offset before the first snapshot was
 * taken, because a transaction that ends while the rewrite runs may end after its group's snapshot. A crash on
 * the way leaves some state in the log twice, which a replay does not mind.
 */

/** One internal log with the state made from it. */
export interface Rewritable {
  readonly log: CoordinatorLog
  /** The keys that have state, as `Turns` knows them. */
  keys(): Iterable<string>
  /** The records that make this key's state from nothing; none if it has no state any more. */
  snapshot(key: string): readonly CoordinatorRecord[]
  /**
   * Asked when all keys are written: where the log has to start at the latest, for what the snapshots left out.
   * Nothing was left out where there is no such function.
   */
  neededFrom?(): Offset
}

export interface LogRewriteOptions {
  readonly store: LogStore
  readonly scheduler: Scheduler
  readonly turns: Turns
  readonly logger: Logger
  /** Asked at every check: logs come and go with their owners. */
  readonly logs: () => Iterable<Rewritable>
  /** A log is left alone up to this size. Default 1 MiB: some thousand commits. */
  readonly minBytes?: number
  /** Default 10 s. */
  readonly checkIntervalMs?: number
}

/** A log is rewritten when it is this many times as large as the last rewrite left it. */
const GROWTH_FACTOR = 4
/** Records of one key go out in batches of about this size. */
const BATCH_BYTES = 512 * 1024
const KEYS_AT_ONCE = 32

export class LogRewrite {
  readonly #options: LogRewriteOptions
  readonly #minBytes: number
  readonly #checkIntervalMs: number
  /** How large each log was after its last rewrite, in bytes. */
  readonly #rewrittenBytes = new WeakMap<CoordinatorLog, number>()
  #next: Scheduled | undefined
  #closed = false

  constructor(options: LogRewriteOptions) {
    this.#options = options
    this.#minBytes = options.minBytes ?? 1024 * 1024
    this.#checkIntervalMs = options.checkIntervalMs ?? 10_000
  }

  /** Checks at intervals from now on. */
  start(): void {
    if (this.#closed) return
    this.#next = this.#options.scheduler.after(this.#checkIntervalMs, () => {
      void this.check().finally(() => this.start())
    })
  }

  close(): void {
    this.#closed = true
    this.#next?.cancel()
  }

  /** Rewrites the logs that have outgrown their state. What fails is logged and tried at the next check. */
  async check(): Promise<void> {
    const { store, logger } = this.#options
    for (const rewritable of this.#options.logs()) {
      if (this.#closed) return
      const { log } = rewritable
      try {
        const [state] = await store.state([log.logId])
        const liveBytes = this.#rewrittenBytes.get(log) ?? 0
        if (state === undefined || state.sizeBytes <= Math.max(this.#minBytes, GROWTH_FACTOR * liveBytes)) {
          continue
        }
        // A marker that is durable by now is applied when whoever appended it has had its turn of the event loop.
        await new Promise<void>((resolve) => this.#options.scheduler.after(0, resolve))
        await this.#rewrite(rewritable, state.lastStableOffset)
      } catch (error) {
        logger.warn({ logId: log.logId, error: String(error) }, 'an internal log was not rewritten')
      }
    }
  }

  async #rewrite(rewritable: Rewritable, newStart: Offset): Promise<void> {
    const { store } = this.#options
    const { log } = rewritable
    const keys = [...rewritable.keys()]
    const worker = async () => {
      for (let key = keys.pop(); key !== undefined && !this.#closed; key = keys.pop()) {
        await this.#rewriteKey(rewritable, key)
      }
    }
    await Promise.all(Array.from({ length: KEYS_AT_ONCE }, worker))
    if (this.#closed) return
    await store.advanceStart(log.logId, Math.min(newStart, rewritable.neededFrom?.() ?? newStart))
    const [state] = await store.state([log.logId])
    this.#rewrittenBytes.set(log, state?.sizeBytes ?? 0)
  }

  async #rewriteKey(rewritable: Rewritable, key: string): Promise<void> {
    const { log } = rewritable
    await this.#options.turns.run(key, async () => {
      let batch: CoordinatorRecord[] = []
      let batchBytes = 0
      for (const record of rewritable.snapshot(key)) {
        batch.push(record)
        batchBytes += record.key.byteLength + (record.value?.byteLength ?? 0)
        if (batchBytes < BATCH_BYTES) continue
        await log.append(batch)
        batch = []
        batchBytes = 0
      }
      if (batch.length > 0) await log.append(batch)
    })
  }
}
