import {
  KEEP_EVERYTHING,
  type KeepingPolicy,
  type LogId,
  type LogStorage,
  type LogStore,
  type MaintenanceFailure,
  restAfterMs,
  type Topic,
} from '@streambus/storage'
import { isInternalTopic } from '../coordinator/internal-topics.ts'
import type { Scheduled, Scheduler } from '../coordinator/scheduler.ts'
import type { Logger } from '../logger.ts'
import type { TopicSettingsTable } from '../settings/topic-settings.ts'
import type { LogLifeMetrics } from './metrics.ts'
import { applyRetention, retentionLimits } from './retention.ts'

/**
 * What happens to records when they are old: at intervals those past their retention go, and the store compacts and
 * merges what is worth it, in steps with pauses between them, so that whoever waits for an acknowledgement does not
 * notice.
 */
export interface LogLifeOptions {
  readonly store: LogStore
  readonly scheduler: Scheduler
  readonly topicSettings: TopicSettingsTable
  readonly log: Logger
  readonly retentionCheckIntervalMs: number
  readonly cleanerBackoffMs: number
}

/** Kafka's log.initial.task.delay.ms: a start has other things to do. */
const FIRST_CHECK_MS = 30_000
const STEP_BYTES = 4 * 1024 ** 2

export class LogLife {
  readonly #options: LogLifeOptions
  #nextCheck: Scheduled | undefined
  #nextStep: Scheduled | undefined
  #working: Promise<void> = Promise.resolve()
  /** What went wrong last, so that it is not told of at each interval. */
  readonly #failures = new Map<string, string>()
  /** Likewise of logs, in the last check of all of them: one whose topic is gone has no part in the next. */
  #logFailures: ReadonlyMap<LogId, string> = new Map()
  #checks = 0
  #freedBytes = 0
  #failureCount = 0
  #lastFailure: MaintenanceFailure | null = null
  readonly #sinceMs: number
  #closed = false

  constructor(options: LogLifeOptions) {
    this.#options = options
    this.#sinceMs = options.scheduler.nowMs()
  }

  start(): void {
    const { retentionCheckIntervalMs, cleanerBackoffMs } = this.#options
    this.#checkAfter(Math.min(FIRST_CHECK_MS, retentionCheckIntervalMs))
    this.#stepAfter(cleanerBackoffMs)
  }

  /** Resolves when nothing more is done. */
  async close(): Promise<void> {
    this.#closed = true
    this.#nextCheck?.cancel()
    this.#nextStep?.cancel()
    await this.#working
  }

  metrics(): LogLifeMetrics {
    const { failures, lastFailure, ...done } = this.#options.store.maintenanceMetrics()
    return {
      sinceMs: this.#sinceMs,
      ...done,
      retention: { checks: this.#checks, freedBytes: this.#freedBytes },
      failures: failures + this.#failureCount,
      lastFailure: laterOf(lastFailure, this.#lastFailure),
    }
  }

  /**
   * How a log of a topic is kept, and where it will begin when its retention is applied next: null where none applies.
   */
  async storageOf(topic: Topic, logId: LogId): Promise<LogStorage & { readonly expiredTo: number | null }> {
    const { store, topicSettings, scheduler } = this.#options
    const limits = retentionLimits(topic, topicSettings, scheduler.nowMs())
    return {
      ...(await store.storageOf(logId, this.#policyOf(topic).compaction)),
      expiredTo: limits === null ? null : await store.expiredUpTo(logId, limits),
    }
  }

  #checkAfter(delayMs: number): void {
    const { scheduler, store, topicSettings, retentionCheckIntervalMs } = this.#options
    if (this.#closed) return
    this.#nextCheck = scheduler.after(delayMs, () => {
      const work = this.#work('delete records past their retention', async () => {
        const failures = new Map<LogId, string>()
        await applyRetention({
          store,
          topicSettings,
          nowMs: scheduler.nowMs(),
          isOver: () => this.#closed,
          failed: (logId, what, error) => {
            failures.set(logId, this.#failed(what, error, this.#logFailures.get(logId)))
          },
          freed: (bytes) => {
            this.#freedBytes += bytes
          },
        })
        this.#checks++
        this.#logFailures = failures
      })
      void work.then(() => this.#checkAfter(retentionCheckIntervalMs))
    })
  }

  #stepAfter(delayMs: number): void {
    const { scheduler, store, cleanerBackoffMs } = this.#options
    if (this.#closed) return
    this.#nextStep = scheduler.after(delayMs, () => {
      let restMs = cleanerBackoffMs
      const work = this.#work('compact and merge logs', async () => {
        const startedMs = performance.now()
        const progress = await store.maintain({ maxBytes: STEP_BYTES }, this.#policyOf)
        if (progress.isMore) restMs = restAfterMs(progress, performance.now() - startedMs)
      })
      void work.then(() => this.#stepAfter(restMs))
    })
  }

  // The logs of coordinators keep themselves; what lies scattered of them is merged with the rest.
  readonly #policyOf = (topic: Topic): KeepingPolicy =>
    isInternalTopic(topic.name) ? KEEP_EVERYTHING : this.#options.topicSettings.of(topic).keeping

  /** One thing after the other. What fails is told, and tried again the next time. */
  #work(what: string, work: () => Promise<void>): Promise<void> {
    this.#working = this.#working.then(async () => {
      try {
        if (!this.#closed) await work()
        this.#failures.delete(what)
      } catch (error) {
        this.#failures.set(what, this.#failed(what, error, this.#failures.get(what)))
      }
    })
    return this.#working
  }

  /** Tells of it unless that was the same the last time; gives the sentence to compare the next one with. */
  #failed(what: string, error: unknown, before: string | undefined): string {
    const sentence = error instanceof Error ? error.message : String(error)
    this.#failureCount++
    this.#lastFailure = { atMs: this.#options.scheduler.nowMs(), message: `could not ${what}: ${sentence}` }
    if (!this.#closed && sentence !== before) {
      this.#options.log.warn({ error: sentence }, `could not ${what}`)
    }
    return sentence
  }
}

function laterOf(
  one: MaintenanceFailure | null,
  other: MaintenanceFailure | null,
): MaintenanceFailure | null {
  if (one === null || other === null) return one ?? other
  return one.atMs > other.atMs ? one : other
}
