import { setImmediate as nextTurn } from 'node:timers/promises'
import { type LogId, type LogStore, StorageError } from '@streambus/storage'
import { isInternalTopic } from '../coordinator/internal-topics.ts'
import type { TopicSettingsTable } from '../settings/topic-settings.ts'

export interface RetentionCheck {
  readonly store: LogStore
  readonly topicSettings: TopicSettingsTable
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number
  /** Asked between logs: whether to stop. */
  isOver(): boolean
  /** Called for each log whose records could not be deleted; the others go on. */
  failed(logId: LogId, what: string, error: unknown): void
}

/** Logs that are cut at once: they share disk writes. */
const LOGS_AT_ONCE = 256

/** Deletes the records of all topics that are past their retention. */
export async function applyRetention(check: RetentionCheck): Promise<void> {
  const { store, topicSettings, nowMs } = check
  let batch: Promise<void>[] = []
  for (const topic of [...store.topics.all()]) {
    const { retention } = topicSettings.of(topic)
    if (retention === null || isInternalTopic(topic.name)) continue
    const limits = { expiredBeforeMs: nowMs - retention.ms, keepBytes: retention.bytes }
    for (const [partition, logId] of topic.logs.entries()) {
      if (check.isOver()) return
      batch.push(cut(check, logId, limits, `delete what is past its retention in ${topic.name}-${partition}`))
      if (batch.length < LOGS_AT_ONCE) continue
      await Promise.all(batch)
      batch = []
      await nextTurn()
    }
  }
  await Promise.all(batch)
}

async function cut(
  { store, failed }: RetentionCheck,
  logId: LogId,
  limits: { expiredBeforeMs: number; keepBytes: number },
  what: string,
): Promise<void> {
  try {
    await store.advanceStart(logId, await store.expiredUpTo(logId, limits))
  } catch (error) {
    // Its topic was deleted meanwhile.
    if (error instanceof StorageError && error.code === 'UNKNOWN_LOG') return
    failed(logId, what, error)
  }
}
