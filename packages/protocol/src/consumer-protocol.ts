/**
 * What members of a classic group of consumers tell each other (protocol type 'consumer'): their subscription
 * in the metadata of JoinGroup, the leader's assignment in SyncGroup. The bytes are an int16 version, then
 * the fields of that version.
 *
 * Newer versions only add fields at the end, so a version above the known ones is read as the newest known,
 * and bytes after the last known field are ignored, as Kafka's clients do.
 */
import { MAX_REQUEST_ELEMENTS } from './byte-reader.ts'
import { ProtocolError } from './protocol-error.ts'
import {
  array,
  bytes,
  int32,
  type Message,
  type MessageInput,
  type MessageSchema,
  message,
  string,
} from './schema.ts'
import { decodeStandalone, encodeStandalone, readPrefix } from './standalone-message.ts'

/** The protocol type of groups of consumers in JoinGroup. */
export const CONSUMER_PROTOCOL_TYPE = 'consumer'

const topicPartitions = {
  topic: string(),
  partitions: array(int32()),
}

/**
 * What a member wants to consume. v1 names the partitions it owns (KIP-429), v2 the generation in which it
 * got them (KIP-792), v3 its rack (KIP-881).
 */
export const consumerProtocolSubscription = message(
  { versions: '0-3', flexible: 'none' },
  {
    topics: array(string()),
    userData: bytes({ nullable: '0+', default: null }),
    ownedPartitions: array(topicPartitions, { versions: '1+', ignorable: true }),
    generationId: int32({ versions: '2+', default: -1, ignorable: true }),
    rackId: string({ versions: '3+', nullable: '3+', default: null, ignorable: true }),
  },
)

/** What the leader gives to a member. All versions are alike. */
export const consumerProtocolAssignment = message(
  { versions: '0-3', flexible: 'none' },
  {
    assignedPartitions: array(topicPartitions),
    userData: bytes({ nullable: '0+', default: null }),
  },
)

export type ConsumerProtocolSubscription = Message<typeof consumerProtocolSubscription>
export type ConsumerProtocolSubscriptionInput = MessageInput<typeof consumerProtocolSubscription>
export type ConsumerProtocolAssignment = Message<typeof consumerProtocolAssignment>
export type ConsumerProtocolAssignmentInput = MessageInput<typeof consumerProtocolAssignment>

const SUBSCRIPTION = 'consumer subscription'
const ASSIGNMENT = 'consumer assignment'

/** Throws ProtocolError UNSUPPORTED_VERSION, or INVALID_VALUE if a value does not fit its field. */
export function encodeConsumerSubscription(
  version: number,
  subscription: ConsumerProtocolSubscriptionInput,
): Uint8Array {
  return encode(SUBSCRIPTION, consumerProtocolSubscription, version, subscription)
}

/** Throws ProtocolError UNSUPPORTED_VERSION, or INVALID_VALUE if a value does not fit its field. */
export function encodeConsumerAssignment(
  version: number,
  assignment: ConsumerProtocolAssignmentInput,
): Uint8Array {
  return encode(ASSIGNMENT, consumerProtocolAssignment, version, assignment)
}

/** Throws ProtocolError on bytes that are no subscription. User data is a view of them. */
export function decodeConsumerSubscription(bytes: Uint8Array): ConsumerProtocolSubscription {
  const version = knownVersion(SUBSCRIPTION, consumerProtocolSubscription, bytes)
  return decode(SUBSCRIPTION, consumerProtocolSubscription, version, bytes)
}

/** Throws ProtocolError on bytes that are no assignment. User data is a view of them. */
export function decodeConsumerAssignment(bytes: Uint8Array): ConsumerProtocolAssignment {
  const version = knownVersion(ASSIGNMENT, consumerProtocolAssignment, bytes)
  return decode(ASSIGNMENT, consumerProtocolAssignment, version, bytes)
}

/**
 * The topics of a subscription alone. Clients exist that announce a version and leave out the fields it has,
 * so this reads no further than version 0. Throws ProtocolError.
 */
export function decodeSubscribedTopics(bytes: Uint8Array): string[] {
  knownVersion(SUBSCRIPTION, consumerProtocolSubscription, bytes)
  return decode(SUBSCRIPTION, consumerProtocolSubscription, 0, bytes).topics
}

function encode(name: string, schema: MessageSchema, version: number, body: unknown): Uint8Array {
  return encodeStandalone({ name, schema, version }, version, body)
}

function knownVersion(name: string, schema: MessageSchema, bytes: Uint8Array): number {
  const version = readPrefix(name, bytes)
  if (version < schema.minVersion) {
    throw new ProtocolError('UNSUPPORTED_VERSION', `${name} has no version ${version}`, { position: 0 })
  }
  return Math.min(version, schema.maxVersion)
}

function decode<Decoded>(
  name: string,
  schema: MessageSchema<Decoded>,
  version: number,
  bytes: Uint8Array,
): Decoded {
  const options = { maxElements: MAX_REQUEST_ELEMENTS, trailingBytes: 'ignored' } as const
  return decodeStandalone({ name, schema, version }, bytes, options) as Decoded
}
