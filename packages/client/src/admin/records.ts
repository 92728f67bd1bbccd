/** Records of partitions: deleted from the start on, and where the epochs of leaders ended. */
import { deleteRecords, offsetForLeaderEpoch } from '@streambus/protocol'
import type { Connection } from '../connection.ts'
import { brokerError } from '../errors.ts'
import { byTopic } from '../groups/group-offsets.ts'
import { exactOffset, type TopicPartition } from '../list-offsets.ts'
import { wholeNumber } from '../options.ts'
import { type AdminOptions, type AdminRequests, type Outcome, placeOf } from './admin-requests.ts'

export interface RecordsToDelete extends TopicPartition {
  /** Deleted is what has a smaller offset; `'latest'` deletes everything that is acknowledged. */
  readonly before: number | 'latest'
}

export interface DeletedRecords extends TopicPartition {
  /** The first offset that is still held by all replicas (KIP-107). */
  readonly lowWatermark: number
}

export interface LeaderEpochQuestion extends TopicPartition {
  /** The epoch whose end is asked for. */
  readonly leaderEpoch: number
}

export interface LeaderEpochEnd extends TopicPartition {
  /** The largest epoch up to the one asked for that the leader knows, null where it knows none. */
  readonly leaderEpoch: number | null
  /** The offset after the last record of that epoch. */
  readonly endOffset: number | null
}

const HIGH_WATERMARK = -1n

export async function deleteRecordsOf(
  requests: AdminRequests,
  partitions: readonly RecordsToDelete[],
  options: AdminOptions,
): Promise<Outcome<DeletedRecords>[]> {
  for (const { topic, partition, before } of partitions) {
    if (before !== 'latest')
      wholeNumber(`The offset before which records of ${topic}/${partition} are deleted`, before)
  }
  return await eachWithItsLeader(requests, partitions, options, async (connection, led) => {
    const topics = byTopic(led, ({ partition, before }) => ({
      partitionIndex: partition,
      offset: before === 'latest' ? HIGH_WATERMARK : BigInt(before),
    }))
    const answer = await connection.request(deleteRecords, {
      topics: topics.map(({ name, items }) => ({ name, partitions: items })),
      timeoutMs: requests.brokerTimeoutMs(options),
    })
    return answer.topics.flatMap(({ name: topic, partitions: answered }) =>
      answered.map(({ partitionIndex: partition, errorCode, lowWatermark }) => ({
        place: { topic, partition },
        outcome:
          errorCode === 0
            ? { topic, partition, lowWatermark: exactOffset(lowWatermark, topic, partition) }
            : brokerError(errorCode, `Cannot delete records of ${topic}/${partition}`),
      })),
    )
  })
}

export function leaderEpochEnds(
  requests: AdminRequests,
  questions: readonly LeaderEpochQuestion[],
  options: AdminOptions,
): Promise<Outcome<LeaderEpochEnd>[]> {
  return eachWithItsLeader(requests, questions, options, async (connection, led) => {
    const topics = byTopic(led, ({ partition, leaderEpoch }) => ({ partition, leaderEpoch }))
    const answer = await connection.request(offsetForLeaderEpoch, {
      replicaId: -1,
      topics: topics.map(({ name, items }) => ({ topic: name, partitions: items })),
    })
    return answer.topics.flatMap(({ topic, partitions }) =>
      partitions.map(({ partition, errorCode, leaderEpoch, endOffset }) => ({
        place: { topic, partition },
        outcome:
          errorCode === 0
            ? {
                topic,
                partition,
                leaderEpoch: leaderEpoch < 0 ? null : leaderEpoch,
                endOffset: endOffset < 0n ? null : exactOffset(endOffset, topic, partition),
              }
            : brokerError(errorCode, `Cannot find the end of an epoch of ${topic}/${partition}`),
      })),
    )
  })
}

interface Answer<Result> {
  readonly place: TopicPartition
  readonly outcome: Outcome<Result>
}

function eachWithItsLeader<Item extends TopicPartition, Result>(
  requests: AdminRequests,
  items: readonly Item[],
  options: AdminOptions,
  ask: (connection: Connection, led: readonly Item[]) => Promise<Answer<Result>[]>,
): Promise<Outcome<Result>[]> {
  let stale = false
  return requests.each<Item, Result>(items, placeOf, options, async (open) => {
    const outcomes = await requests.onLeaders<Item, Result>(open, stale, async (connection, led) => {
      const answers = await ask(connection, led)
      return new Map(answers.map(({ place, outcome }) => [placeOf(place), outcome]))
    })
    stale = true
    return outcomes
  })
}
