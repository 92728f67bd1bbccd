import type { KeepingPolicy, LogId, LogStore, Topic } from '@streambus/storage'
import { isInternalTopic } from '../coordinator/internal-topics.ts'
import type { Scheduled, Scheduler } from '../coordinator/scheduler.ts'
import type { Logger } from '../logger.ts'
import type { TopicSettingsTable } from '../settings/topic-settings.ts'
import { applyRetention } from './retention.ts'

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

/** The logs of coordinators keep themselves; what lies scattered of them is merged with the rest. */
const INTERNAL: KeepingPolicy = {
  compaction: null,
  segmentBytes: 1024 ** 3,
  segmentMs: Number.POSITIVE_INFINITY,
  retentionMs: Number.POSITIVE_INFINITY,
}

export class LogLife {
  readonly #options: LogLifeOptions
  #nextCheck: Scheduled | undefined
  #nextStep: Scheduled | undefined
  #working: Promise<void> = Promise.resolve()
  /** What went wrong last, so that it is not told of at each interval. */
  readonly #failures = new Map<string, string>()
  /** Likewise of logs, in the last check of all of them: one whose topic is gone has no part in the next. */
  #logFailures: ReadonlyMap<LogId, string> = new Map()
  #closed = false

  constructor(options: LogLifeOptions) {
    this.#options = options
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
        })
        this.#logFailures = failures
        return false
      })
      void work.then(() => this.#checkAfter(retentionCheckIntervalMs))
    })
  }

  #stepAfter(delayMs: number): void {
    const { scheduler, store, cleanerBackoffMs } = this.#options
    if (this.#closed) return
    this.#nextStep = scheduler.after(delayMs, () => {
      const work = this.#work('compact and merge logs', async () => {
        const { isMore } = await store.maintain({ maxBytes: STEP_BYTES }, this.#policyOf)
        return isMore
      })
      // As long as a step took, nothing is done after it.
      void work.then(({ isMore, tookMs }) => this.#stepAfter(isMore ? tookMs : cleanerBackoffMs))
    })
  }

  readonly #policyOf = (topic: Topic): KeepingPolicy =>
    isInternalTopic(topic.name) ? INTERNAL : this.#options.topicSettings.of(topic).keeping

  /** One thing after the other. What fails is told, and tried again the next time. */
  #work(what: string, work: () => Promise<boolean>): Promise<{ isMore: boolean; tookMs: number }> {
    const done = this.#working.then(async () => {
      const startedMs = performance.now()
      let isMore = false
      try {
        isMore = !this.#closed && (await work())
        this.#failures.delete(what)
      } catch (error) {
        this.#failures.set(what, this.#failed(what, error, this.#failures.get(what)))
      }
      return { isMore, tookMs: performance.now() - startedMs }
    })
    this.#working = done.then(() => undefined)
    return done
  }

  /** Tells of it unless that was the same the last time; gives the sentence to compare the next one with. */
  #failed(what: string, error: unknown, before: string | undefined): string {
    const sentence = error instanceof Error ? error.message : String(error)
    if (!this.#closed && sentence !== before) {
      this.#options.log.warn({ error: sentence }, `could not ${what}`)
    }
    return sentence
  }
}
