/** What members of a group of consumers tell each other through the coordinator, which passes it on unread. */
import {
  decodeConsumerAssignment,
  decodeConsumerSubscription,
  decodeSubscribedTopics,
  encodeConsumerAssignment,
  encodeConsumerSubscription,
} from '@streambus/protocol'
import { StreamBusError, sentenceOf } from '../errors.ts'
import type { TopicPartition } from '../list-offsets.ts'
import type { MemberSubscription } from './assignor.ts'

/** Members of other clients read as much of it as they know. */
const subscriptionVersion = 3
/** Every client reads it, and the later versions add nothing to it. */
const assignmentVersion = 0

export function encodeSubscription(
  topics: readonly string[],
  owned: readonly TopicPartition[],
  generation: number,
  userData: Uint8Array | null,
): Uint8Array {
  return encodeConsumerSubscription(subscriptionVersion, {
    topics: [...topics],
    userData,
    ownedPartitions: byTopic(owned),
    generationId: generation,
  })
}

/** Throws GROUP_MISMATCH where the bytes are no subscription: then the member is no consumer. */
export function decodeSubscription(
  memberId: string,
  instanceId: string | null,
  bytes: Uint8Array,
): MemberSubscription {
  const nothingOwned = { memberId, instanceId, ownedPartitions: [], generation: -1, userData: null }
  try {
    try {
      const { topics, userData, ownedPartitions, generationId } = decodeConsumerSubscription(bytes)
      return {
        ...nothingOwned,
        topics,
        ownedPartitions: flat(ownedPartitions),
        generation: generationId,
        userData,
      }
    } catch {
      // Some clients announce version 1 and leave out its fields: such a member owns nothing.
      return { ...nothingOwned, topics: decodeSubscribedTopics(bytes) }
    }
  } catch (error) {
    throw new StreamBusError(
      'GROUP_MISMATCH',
      `Member ${memberId} of the group did not send the subscription of a consumer: ${sentenceOf(error)}.`,
      { cause: error },
    )
  }
}

export function encodeAssignment(partitions: readonly TopicPartition[]): Uint8Array {
  return encodeConsumerAssignment(assignmentVersion, { assignedPartitions: byTopic(partitions) })
}

/** No bytes at all are an assignment of nothing. Throws PROTOCOL_ERROR where they are something else. */
export function decodeAssignment(bytes: Uint8Array): TopicPartition[] {
  if (bytes.length === 0) return []
  try {
    return flat(decodeConsumerAssignment(bytes).assignedPartitions)
  } catch (error) {
    const message = `The assignment of a group's member cannot be read: ${sentenceOf(error)}.`
    throw new StreamBusError('PROTOCOL_ERROR', message, { cause: error })
  }
}

function flat(
  topics: readonly { readonly topic: string; readonly partitions: readonly number[] }[],
): TopicPartition[] {
  return topics.flatMap(({ topic, partitions }) => partitions.map((partition) => ({ topic, partition })))
}

function byTopic(partitions: readonly TopicPartition[]): { topic: string; partitions: number[] }[] {
  const topics = new Map<string, number[]>()
  for (const { topic, partition } of partitions) {
    const numbers = topics.get(topic)
    if (numbers === undefined) topics.set(topic, [partition])
    else numbers.push(partition)
  }
  return [...topics].map(([topic, numbers]) => ({ topic, partitions: numbers }))
}
