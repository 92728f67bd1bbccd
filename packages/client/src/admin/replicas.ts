/** Who leads partitions and which brokers hold them: elections (KIP-183, KIP-460) and reassignments (KIP-455). */
import {
  alterPartitionReassignments,
  ErrorCode,
  electLeaders,
  listPartitionReassignments,
} from '@streambus/protocol'
import { brokerError, StreamBusError } from '../errors.ts'
import { byTopic } from '../groups/group-offsets.ts'
import type { TopicPartition } from '../list-offsets.ts'
import { versionFor } from '../version-for.ts'
import {
  type AdminOptions,
  type AdminRequests,
  allSucceeded,
  type Outcome,
  placeOf,
} from './admin-requests.ts'

export interface ElectLeadersOptions extends AdminOptions {
  /**
   * `preferred`: the first replica of each partition. `unclean`: any replica where none is in sync, which loses what
   * only the former leader had. Default `preferred`.
   */
  type?: 'preferred' | 'unclean'
  /** Default: all partitions that need it. */
  partitions?: readonly TopicPartition[]
}

export interface ElectedLeader extends TopicPartition {
  /** False where the partition had the leader it should have. */
  readonly isNew: boolean
}

export interface PartitionReassignment extends TopicPartition {
  /** Brokers that are to hold the partition, the preferred leader first; null calls the move off that is under way. */
  readonly replicas: readonly number[] | null
}

export interface OngoingReassignment extends TopicPartition {
  /** Everybody who holds the partition now, those that come and go included. */
  readonly replicas: readonly number[]
  readonly adding: readonly number[]
  readonly removing: readonly number[]
}

const electionTypes = { preferred: 0, unclean: 1 } as const

/** What stands in the way of an election is not waited for: another broker has to come back first. */
export async function elect(
  requests: AdminRequests,
  { type = 'preferred', partitions, ...options }: ElectLeadersOptions,
): Promise<ElectedLeader[]> {
  const answers = await requests.onController(options, async (connection) => {
    const version = versionFor(
      connection,
      electLeaders,
      type === 'unclean' ? 1 : 0,
      'elect an unclean leader',
    )
    const topics = partitions === undefined ? null : byTopic(partitions, ({ partition }) => partition)
    const answer = await connection.request(electLeaders, {
      ...(version >= 1 && { electionType: electionTypes[type] }),
      topicPartitions: topics?.map(({ name, items }) => ({ topic: name, partitions: items })) ?? null,
      timeoutMs: requests.brokerTimeoutMs(options),
    })
    if (answer.errorCode !== 0) throw brokerError(answer.errorCode, 'Cannot elect leaders')
    return answer.replicaElectionResults
  })
  const places: TopicPartition[] = []
  const outcomes: Outcome<ElectedLeader>[] = []
  for (const { topic, partitionResult } of answers) {
    for (const { partitionId: partition, errorCode, errorMessage } of partitionResult) {
      const place = { topic, partition }
      places.push(place)
      if (errorCode === ErrorCode.NONE) outcomes.push({ ...place, isNew: true })
      else if (errorCode === ErrorCode.ELECTION_NOT_NEEDED) outcomes.push({ ...place, isNew: false })
      else outcomes.push(partitionError(errorCode, place, 'elect a leader of', errorMessage))
    }
  }
  return allSucceeded(places, outcomes)
}

export async function reassign(
  requests: AdminRequests,
  partitions: readonly PartitionReassignment[],
  options: AdminOptions,
): Promise<Outcome<undefined>[]> {
  const attempt = requests.controllerAttempts(async (connection, open: readonly PartitionReassignment[]) => {
    const topics = byTopic(open, ({ partition, replicas }) => ({
      partitionIndex: partition,
      replicas: replicas === null ? null : [...replicas],
    }))
    const answer = await connection.request(alterPartitionReassignments, {
      topics: topics.map(({ name, items }) => ({ name, partitions: items })),
      timeoutMs: requests.brokerTimeoutMs(options),
    })
    if (answer.errorCode !== 0) {
      throw brokerError(answer.errorCode, 'Cannot move partitions', answer.errorMessage)
    }
    return new Map(
      answer.responses.flatMap(({ name: topic, partitions: answered }) =>
        answered.map(({ partitionIndex: partition, errorCode, errorMessage }) => [
          placeOf({ topic, partition }),
          errorCode === 0 ? undefined : partitionError(errorCode, { topic, partition }, 'move', errorMessage),
        ]),
      ),
    )
  })
  return await requests.each<PartitionReassignment, undefined>(partitions, placeOf, options, attempt)
}

/** By topic and partition. */
export async function ongoingReassignments(
  requests: AdminRequests,
  { partitions, ...options }: AdminOptions & { partitions?: readonly TopicPartition[] | undefined },
): Promise<OngoingReassignment[]> {
  const topics = partitions === undefined ? null : byTopic(partitions, ({ partition }) => partition)
  return await requests.onController(options, async (connection) => {
    const answer = await connection.request(listPartitionReassignments, {
      topics: topics?.map(({ name, items }) => ({ name, partitionIndexes: items })) ?? null,
      timeoutMs: requests.brokerTimeoutMs(options),
    })
    if (answer.errorCode !== 0) {
      throw brokerError(answer.errorCode, 'Cannot list the partitions that are moved', answer.errorMessage)
    }
    return answer.topics
      .flatMap(({ name, partitions: ofTopic }) =>
        ofTopic.map(({ partitionIndex, replicas, addingReplicas, removingReplicas }) => ({
          topic: name,
          partition: partitionIndex,
          replicas,
          adding: addingReplicas,
          removing: removingReplicas,
        })),
      )
      .sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1))
  })
}

/** That there is no such partition may be repeated elsewhere; here it is final. */
function partitionError(
  code: number,
  { topic, partition }: TopicPartition,
  verb: string,
  detail: string | null,
): StreamBusError {
  if (code !== ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) {
    return brokerError(code, `Cannot ${verb} ${topic}/${partition}`, detail)
  }
  return new StreamBusError('UNKNOWN_TOPIC', `There is no ${topic}/${partition} on this cluster.`, {
    brokerError: 'UNKNOWN_TOPIC_OR_PARTITION',
    retriable: false,
  })
}
