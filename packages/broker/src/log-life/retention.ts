import { setImmediate as nextTurn } from 'node:timers/promises'
import { type LogId, type LogStore, type RetentionLimits, StorageError, type Topic } from '@streambus/storage'
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
  /** Called for each log of which something was deleted. */
  freed(bytes: number): void
}

/** Logs that are cut at once: they share disk writes. */
const LOGS_AT_ONCE = 256

/** What of the logs of a topic has to stay; null where retention does not apply to them. */
export function retentionLimits(
  topic: Topic,
  topicSettings: TopicSettingsTable,
  nowMs: number,
): RetentionLimits | null {
  const { retention } = topicSettings.of(topic)
  if (retention === null || isInternalTopic(topic.name)) return null
  return { expiredBeforeMs: nowMs - retention.ms, keepBytes: retention.bytes }
}

/** Deletes the records of all topics that are past their retention. */
export async function applyRetention(check: RetentionCheck): Promise<void> {
  const { store, topicSettings, nowMs } = check
  let batch: Promise<void>[] = []
  for (const topic of [...store.topics.all()]) {
    const limits = retentionLimits(topic, topicSettings, nowMs)
    if (limits === null) continue
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
  { store, failed, freed }: RetentionCheck,
  logId: LogId,
  limits: RetentionLimits,
  what: string,
): Promise<void> {
  try {
    const { freedBytes } = await store.advanceStart(logId, await store.expiredUpTo(logId, limits))
    freed(freedBytes)
  } catch (error) {
    // Its topic was deleted meanwhile.
    if (error instanceof StorageError && error.code === 'UNKNOWN_LOG') return
    failed(logId, what, error)
  }
}
