import { listOffsets } from '@streambus/protocol'
import type { Cluster, RetryOptions } from './cluster.ts'
import type { Connection } from './connection.ts'
import { brokerError, isStreamBusError, StreamBusError } from './errors.ts'
import { versionFor } from './version-for.ts'

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** A place in a log: its first offset, the offset after its last record, or the first record of a time on. */
export type OffsetQuery = 'earliest' | 'latest' | { readonly timestampMs: number | bigint }

/**
 * More places that some brokers know: the record with the largest timestamp (KIP-734), and in tiered storage the first
 * record on local disks and the last one that was moved (KIP-405, KIP-1005).
 */
export type SpecialOffsetQuery = 'max_timestamp' | 'earliest_local' | 'latest_tiered'

export interface OffsetQuestion extends TopicPartition {
  /** The place whose offset is asked for. */
  readonly at: OffsetQuery | SpecialOffsetQuery
}

export interface FoundOffset extends TopicPartition {
  /** Null where no record is as young as the time asked for, or there is no such place. */
  readonly offset: number | null
  /** Of the record found by its timestamp, in milliseconds since the Unix epoch; null for ends of the log. */
  readonly timestampMs: number | null
  /** Epoch of the leader that wrote the record; null where the broker does not tell. */
  readonly leaderEpoch: number | null
}

/** Which end of a log is meant: the last stable offset, behind which transactions are open, or the high watermark. */
export type Isolation = 'read_committed' | 'read_uncommitted'

export const isolationLevels: Readonly<Record<Isolation, number>> = { read_uncommitted: 0, read_committed: 1 }

export interface FindOffsetsOptions extends RetryOptions {
  /** Default `read_uncommitted`. */
  isolation?: Isolation
}

/** Timestamps with a meaning of their own, and the first version of ListOffsets that knows them. */
const places: Readonly<Record<string, { readonly timestamp: bigint; readonly since: number }>> = {
  latest: { timestamp: -1n, since: 0 },
  earliest: { timestamp: -2n, since: 0 },
  max_timestamp: { timestamp: -3n, since: 7 },
  earliest_local: { timestamp: -4n, since: 8 },
  latest_tiered: { timestamp: -5n, since: 9 },
}

/**
 * Asks the leaders for offsets; one answer per question, in their order. What fails for want of a leader or a
 * connection is asked again with the view of the cluster renewed.
 */
export async function findOffsets(
  cluster: Cluster,
  lane: string,
  questions: readonly OffsetQuestion[],
  options: FindOffsetsOptions = {},
): Promise<FoundOffset[]> {
  const isolationLevel = isolationLevels[options.isolation ?? 'read_uncommitted']
  const answers = new Array<FoundOffset | undefined>(questions.length)
  let stale = false
  await cluster.retrying(async () => {
    const open = questions.map((_, index) => index).filter((index) => answers[index] === undefined)
    if (stale) await cluster.refresh([...new Set(open.map((index) => questions[index]!.topic))])
    stale = true
    const byLeader = new Map<number, number[]>()
    for (const index of open) {
      const { topic, partition } = questions[index]!
      const { partitions } = await cluster.topic(topic, options)
      if (partitions[partition] === undefined) throw unknownPartition(topic, partition, partitions.length)
      const leader = cluster.leaderOf(topic, partition)
      if (leader < 0) throw noLeader(topic, partition)
      byLeader.set(leader, [...(byLeader.get(leader) ?? []), index])
    }
    const rounds = [...byLeader].map(([leader, indexes]) =>
      askLeader(cluster, lane, leader, isolationLevel, questions, indexes, answers),
    )
    const failures = (await Promise.allSettled(rounds)).flatMap((round) =>
      round.status === 'rejected' ? [round.reason as unknown] : [],
    )
    const permanent = failures.find((failure) => !isStreamBusError(failure) || !failure.retriable)
    if (failures.length > 0) throw permanent ?? failures[0]
  }, options)
  return answers as FoundOffset[]
}

async function askLeader(
  cluster: Cluster,
  lane: string,
  leader: number,
  isolationLevel: number,
  questions: readonly OffsetQuestion[],
  indexes: readonly number[],
  answers: (FoundOffset | undefined)[],
): Promise<void> {
  const connection = await cluster.connectionTo(leader, lane)
  // A request may name a partition once, so that two questions about one go out in two requests.
  let remaining = [...indexes]
  while (remaining.length > 0) {
    const asked = new Map<string, number>()
    const later: number[] = []
    for (const index of remaining) {
      const { topic, partition } = questions[index]!
      const key = `${topic}/${partition}`
      if (asked.has(key)) later.push(index)
      else asked.set(key, index)
    }
    remaining = later
    const byTopic = new Map<string, number[]>()
    for (const index of asked.values()) {
      const { topic } = questions[index]!
      byTopic.set(topic, [...(byTopic.get(topic) ?? []), index])
    }
    const answer = await connection.request(listOffsets, {
      replicaId: -1,
      isolationLevel,
      topics: [...byTopic].map(([name, topicIndexes]) => ({
        name,
        partitions: topicIndexes.map((index) => ({
          partitionIndex: questions[index]!.partition,
          timestamp: wireTimestamp(questions[index]!.at, connection),
        })),
      })),
    })
    for (const { name, partitions } of answer.topics) {
      for (const { partitionIndex, errorCode, offset, timestamp, leaderEpoch } of partitions) {
        const index = asked.get(`${name}/${partitionIndex}`)
        if (index === undefined) continue
        if (errorCode !== 0)
          throw brokerError(errorCode, `Cannot look up offsets of ${name}/${partitionIndex}`)
        answers[index] = {
          topic: name,
          partition: partitionIndex,
          offset: offset < 0n ? null : exactOffset(offset, name, partitionIndex),
          timestampMs: timestamp < 0n ? null : Number(timestamp),
          leaderEpoch: leaderEpoch < 0 ? null : leaderEpoch,
        }
      }
    }
    for (const index of asked.values()) {
      if (answers[index] !== undefined) continue
      const { topic, partition } = questions[index]!
      throw new StreamBusError('PROTOCOL_ERROR', `The broker said nothing of ${topic}/${partition}.`)
    }
  }
}

function wireTimestamp(at: OffsetQuestion['at'], connection: Connection): bigint {
  if (typeof at === 'object') {
    const timestamp = BigInt(at.timestampMs)
    // Negative values have meanings of their own on the wire; a time before 1970 is before every record.
    return timestamp < 0n ? 0n : timestamp
  }
  const place = places[at]
  if (place === undefined) {
    const known = Object.keys(places).join(', ')
    throw new StreamBusError(
      'INVALID_ARGUMENT',
      `An offset is found at ${known} or a timestampMs, not ${at}.`,
    )
  }
  versionFor(connection, listOffsets, place.since, `find the offset at ${at}`)
  return place.timestamp
}

/** Offsets are numbers in this SDK: integers are exact up to 2^53 - 1, and anything above is refused. */
export function exactOffset(offset: bigint, topic: string, partition: number): number {
  if (offset > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new StreamBusError(
      'OFFSET_NOT_EXACT',
      `Offset ${offset} of ${topic}/${partition} is above 2^53 - 1 and would lose digits as a number.`,
    )
  }
  return Number(offset)
}

export function unknownPartition(topic: string, partition: number, count: number): StreamBusError {
  const range = count === 1 ? 'only partition 0' : `partitions 0 to ${count - 1}`
  return new StreamBusError(
    'UNKNOWN_PARTITION',
    `Topic '${topic}' has no partition ${partition}: it has ${range}.`,
  )
}

export function noLeader(topic: string, partition: number): StreamBusError {
  return new StreamBusError('LEADER_UNAVAILABLE', `Partition ${partition} of topic '${topic}' has no leader.`)
}
