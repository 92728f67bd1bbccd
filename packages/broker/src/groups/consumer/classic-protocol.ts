import {
  type ConsumerProtocolSubscription,
  decodeConsumerAssignment,
  decodeConsumerSubscription,
  decodeSubscribedTopics,
  encodeConsumerAssignment,
  ProtocolError,
} from '@streambus/protocol'
import type { TopicCatalog, TopicId } from '@streambus/storage'
import type { ClassicProtocol } from './member.ts'
import type { AssignedPartitions } from './partitions.ts'
import type { ListedPartitions } from './reconciliation.ts'

/** What members of the classic protocol say and hear, in terms of topic ids. */

/** Assignments have had no other version than these. */
const MAX_ASSIGNMENT_VERSION = 3

/** Null where the bytes are not what consumers write: an assignor of somebody's own. */
export function readSubscription(metadata: Uint8Array): ConsumerProtocolSubscription | null {
  try {
    return decodeConsumerSubscription(metadata)
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
  }
  // Some clients announce a version and leave out the fields it has.
  try {
    const topics = decodeSubscribedTopics(metadata)
    return { topics, userData: null, ownedPartitions: [], generationId: -1, rackId: null }
  } catch (error) {
    if (error instanceof ProtocolError) return null
    throw error
  }
}

/**
 * The partitions that an assignment gives, by topic id; none of topics that are gone. Null where it carries data
 * of an assignor that only the members understand, or is not what consumers write.
 */
export function readAssignment(bytes: Uint8Array, topics: TopicCatalog): ListedPartitions | null {
  if (bytes.byteLength === 0) return []
  try {
    const { assignedPartitions, userData } = decodeConsumerAssignment(bytes)
    if (userData !== null && userData.byteLength > 0) return null
    return byTopicId(assignedPartitions, topics)
  } catch (error) {
    if (error instanceof ProtocolError) return null
    throw error
  }
}

/** The partitions in the version of the assignment that the member's subscription has. */
export function writeAssignment(
  assigned: AssignedPartitions,
  protocols: readonly ClassicProtocol[],
  topics: TopicCatalog,
): Uint8Array {
  const metadata = protocols[0]?.metadata
  const version = metadata === undefined || metadata.byteLength < 2 ? 0 : (metadata[0]! << 8) | metadata[1]!
  const assignedPartitions: { topic: string; partitions: number[] }[] = []
  for (const [topicId, epochs] of assigned) {
    const topic = topics.byId(topicId)?.name
    if (topic === undefined) continue
    assignedPartitions.push({ topic, partitions: [...epochs.keys()].sort((a, b) => a - b) })
  }
  return encodeConsumerAssignment(Math.min(version, MAX_ASSIGNMENT_VERSION), { assignedPartitions })
}

export function byTopicId(
  partitions: readonly { readonly topic: string; readonly partitions: readonly number[] }[],
  topics: TopicCatalog,
): { topicId: TopicId; partitions: readonly number[] }[] {
  return partitions.flatMap(({ topic, partitions: listed }) => {
    const topicId = topics.byName(topic)?.id
    return topicId === undefined ? [] : [{ topicId, partitions: listed }]
  })
}
