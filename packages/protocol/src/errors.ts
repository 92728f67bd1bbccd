/**
 * Kafka's error codes: what goes over the wire, whether the same request may succeed later, and what the code
 * means to the user who meets it.
 */
interface ErrorRow {
  readonly code: number
  readonly name: string
  /** True when the same request may succeed after a while, or after a refresh of metadata. */
  readonly retriable: boolean
  readonly message: string
}

const table = [
  row(-1, 'UNKNOWN_SERVER_ERROR', false, 'The broker failed in a way it has no code for; its log says how.'),
  row(0, 'NONE', false, 'No error.'),
  row(1, 'OFFSET_OUT_OF_RANGE', false, 'The offset lies before the start or after the end of the partition.'),
  row(2, 'CORRUPT_MESSAGE', true, 'The record batch is damaged: its CRC or its size is wrong.'),
  row(3, 'UNKNOWN_TOPIC_OR_PARTITION', true, 'The broker has no such topic or partition.'),
  row(4, 'INVALID_FETCH_SIZE', false, 'The fetch asks for an impossible number of bytes.'),
  row(
    5,
    'LEADER_NOT_AVAILABLE',
    true,
    'The partition has no leader at the moment; refresh metadata and try again.',
  ),
  row(
    6,
    'NOT_LEADER_OR_FOLLOWER',
    true,
    'Another broker has this partition now; refresh metadata and ask that one.',
  ),
  row(7, 'REQUEST_TIMED_OUT', true, 'The request was not completed in the time it allows.'),
  row(8, 'BROKER_NOT_AVAILABLE', true, 'The broker is not available.'),
  row(9, 'REPLICA_NOT_AVAILABLE', true, 'The broker has no replica of the partition to serve this from.'),
  row(10, 'MESSAGE_TOO_LARGE', false, 'The record batch is larger than max.message.bytes allows.'),
  row(11, 'STALE_CONTROLLER_EPOCH', false, 'The request comes from a controller that has been replaced.'),
  row(
    12,
    'OFFSET_METADATA_TOO_LARGE',
    false,
    'The text committed with the offset is longer than the broker allows.',
  ),
  row(13, 'NETWORK_EXCEPTION', true, 'The connection closed before the answer came.'),
  row(14, 'COORDINATOR_LOAD_IN_PROGRESS', true, 'The coordinator is still reading its state.'),
  row(15, 'COORDINATOR_NOT_AVAILABLE', true, 'There is no coordinator at the moment.'),
  row(16, 'NOT_COORDINATOR', true, 'Another broker coordinates this group or transaction; look it up again.'),
  row(
    17,
    'INVALID_TOPIC_EXCEPTION',
    false,
    'The topic name is not allowed, or the topic may not be used this way.',
  ),
  row(18, 'RECORD_LIST_TOO_LARGE', false, 'The record batch is larger than segment.bytes of the topic.'),
  row(19, 'NOT_ENOUGH_REPLICAS', true, 'Fewer replicas are in sync than min.insync.replicas asks for.'),
  row(
    20,
    'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
    true,
    'The batch was written, but to fewer replicas in sync than asked for.',
  ),
  row(21, 'INVALID_REQUIRED_ACKS', false, 'acks must be 0, 1 or -1 (all).'),
  row(22, 'ILLEGAL_GENERATION', false, 'The group has moved on to another generation; rejoin it.'),
  row(
    23,
    'INCONSISTENT_GROUP_PROTOCOL',
    false,
    'The member has no assignment protocol in common with the group.',
  ),
  row(24, 'INVALID_GROUP_ID', false, 'The group id is empty or not allowed.'),
  row(25, 'UNKNOWN_MEMBER_ID', false, 'The group does not know this member; rejoin without a member id.'),
  row(26, 'INVALID_SESSION_TIMEOUT', false, 'The session timeout lies outside the limits the broker sets.'),
  row(27, 'REBALANCE_IN_PROGRESS', false, 'The group is rebalancing; rejoin it.'),
  row(
    28,
    'INVALID_COMMIT_OFFSET_SIZE',
    false,
    'The committed offsets take more bytes than the broker allows.',
  ),
  row(29, 'TOPIC_AUTHORIZATION_FAILED', false, 'The principal lacks the permission for this topic.'),
  row(30, 'GROUP_AUTHORIZATION_FAILED', false, 'The principal lacks the permission for this group.'),
  row(31, 'CLUSTER_AUTHORIZATION_FAILED', false, 'The principal lacks the permission for the cluster.'),
  row(
    32,
    'INVALID_TIMESTAMP',
    false,
    "A record's timestamp is too far from the broker's clock for this topic.",
  ),
  row(33, 'UNSUPPORTED_SASL_MECHANISM', false, 'The broker does not offer this SASL mechanism.'),
  row(34, 'ILLEGAL_SASL_STATE', false, 'The request is out of order in the SASL exchange.'),
  row(
    35,
    'UNSUPPORTED_VERSION',
    false,
    'The broker does not serve this version of the request, or of a value in it.',
  ),
  row(36, 'TOPIC_ALREADY_EXISTS', false, 'A topic of this name exists already.'),
  row(37, 'INVALID_PARTITIONS', false, 'The number of partitions is not possible.'),
  row(
    38,
    'INVALID_REPLICATION_FACTOR',
    false,
    'The replication factor is below 1 or above the number of brokers.',
  ),
  row(
    39,
    'INVALID_REPLICA_ASSIGNMENT',
    false,
    'The replicas given for the partitions do not fit the cluster.',
  ),
  row(40, 'INVALID_CONFIG', false, 'A setting is unknown or its value is not allowed.'),
  row(41, 'NOT_CONTROLLER', true, 'Another broker is the controller; refresh metadata and ask that one.'),
  row(42, 'INVALID_REQUEST', false, 'The request contradicts itself or lacks something.'),
  row(43, 'UNSUPPORTED_FOR_MESSAGE_FORMAT', false, "The topic's record format cannot do this."),
  row(44, 'POLICY_VIOLATION', false, 'The request is against a policy of this cluster.'),
  row(
    45,
    'OUT_OF_ORDER_SEQUENCE_NUMBER',
    false,
    "An idempotent producer's batch does not follow the one before it.",
  ),
  row(
    46,
    'DUPLICATE_SEQUENCE_NUMBER',
    false,
    'The broker has this batch of the idempotent producer already.',
  ),
  row(47, 'INVALID_PRODUCER_EPOCH', false, "The producer's epoch is older than the newest one known."),
  row(48, 'INVALID_TXN_STATE', false, "The transaction's state does not allow this operation."),
  row(
    49,
    'INVALID_PRODUCER_ID_MAPPING',
    false,
    'The producer id is not the one the transactional id has now.',
  ),
  row(
    50,
    'INVALID_TRANSACTION_TIMEOUT',
    false,
    'The transaction timeout is above transaction.max.timeout.ms.',
  ),
  row(51, 'CONCURRENT_TRANSACTIONS', true, 'The transactional id is busy with another operation; try again.'),
  row(
    52,
    'TRANSACTION_COORDINATOR_FENCED',
    false,
    'The marker comes from a coordinator that has been replaced.',
  ),
  row(
    53,
    'TRANSACTIONAL_ID_AUTHORIZATION_FAILED',
    false,
    'The principal lacks the permission for this transactional id.',
  ),
  row(54, 'SECURITY_DISABLED', false, 'The broker runs without an authorizer.'),
  row(
    55,
    'OPERATION_NOT_ATTEMPTED',
    false,
    'Another part of the same request failed, so this one was not tried.',
  ),
  row(56, 'KAFKA_STORAGE_ERROR', true, 'The broker cannot read or write its storage.'),
  row(57, 'LOG_DIR_NOT_FOUND', false, 'The broker has no such log folder.'),
  row(58, 'SASL_AUTHENTICATION_FAILED', false, 'The credentials were refused.'),
  row(59, 'UNKNOWN_PRODUCER_ID', false, 'The broker has forgotten this idempotent producer.'),
  row(60, 'REASSIGNMENT_IN_PROGRESS', false, "The partition's replicas are being moved."),
  row(61, 'DELEGATION_TOKEN_AUTH_DISABLED', false, 'Delegation tokens are not enabled.'),
  row(62, 'DELEGATION_TOKEN_NOT_FOUND', false, 'The broker has no such delegation token.'),
  row(
    63,
    'DELEGATION_TOKEN_OWNER_MISMATCH',
    false,
    'The principal neither owns the delegation token nor may renew it.',
  ),
  row(
    64,
    'DELEGATION_TOKEN_REQUEST_NOT_ALLOWED',
    false,
    'Delegation tokens are not given over this kind of connection.',
  ),
  row(
    65,
    'DELEGATION_TOKEN_AUTHORIZATION_FAILED',
    false,
    'The principal lacks the permission for this delegation token.',
  ),
  row(66, 'DELEGATION_TOKEN_EXPIRED', false, 'The delegation token has expired.'),
  row(67, 'INVALID_PRINCIPAL_TYPE', false, 'The broker does not know this type of principal.'),
  row(68, 'NON_EMPTY_GROUP', false, 'The group still has members.'),
  row(69, 'GROUP_ID_NOT_FOUND', false, 'There is no such group.'),
  row(70, 'FETCH_SESSION_ID_NOT_FOUND', true, 'The broker has dropped the fetch session; open a new one.'),
  row(71, 'INVALID_FETCH_SESSION_EPOCH', true, 'The fetch session is at another epoch; open a new one.'),
  row(72, 'LISTENER_NOT_FOUND', true, 'The leader has no listener of the name the client used.'),
  row(73, 'TOPIC_DELETION_DISABLED', false, 'The broker does not allow topics to be deleted.'),
  row(
    74,
    'FENCED_LEADER_EPOCH',
    true,
    "The client's leader epoch is older than the broker's; refresh metadata.",
  ),
  row(75, 'UNKNOWN_LEADER_EPOCH', true, "The client's leader epoch is newer than the broker's; try again."),
  row(
    76,
    'UNSUPPORTED_COMPRESSION_TYPE',
    false,
    'This version of the request cannot carry records of that codec.',
  ),
  row(77, 'STALE_BROKER_EPOCH', false, 'The broker has registered again since.'),
  row(78, 'OFFSET_NOT_AVAILABLE', true, 'The leader is new and does not know its high watermark yet.'),
  row(79, 'MEMBER_ID_REQUIRED', false, 'Join again with the member id given in this answer.'),
  row(80, 'PREFERRED_LEADER_NOT_AVAILABLE', true, 'The preferred leader is not available.'),
  row(81, 'GROUP_MAX_SIZE_REACHED', false, 'The group has as many members as the broker allows.'),
  row(82, 'FENCED_INSTANCE_ID', false, 'Another member has registered with the same group.instance.id.'),
  row(83, 'ELIGIBLE_LEADERS_NOT_AVAILABLE', true, 'No replica that may become leader is available.'),
  row(84, 'ELECTION_NOT_NEEDED', true, 'The partition has the leader it should have.'),
  row(85, 'NO_REASSIGNMENT_IN_PROGRESS', false, "The partition's replicas are not being moved."),
  row(
    86,
    'GROUP_SUBSCRIBED_TO_TOPIC',
    false,
    'The group still consumes the topic whose offsets should be deleted.',
  ),
  row(87, 'INVALID_RECORD', false, 'A record or its batch breaks a rule of the format or of the topic.'),
  row(
    88,
    'UNSTABLE_OFFSET_COMMIT',
    true,
    'The group has offsets in a transaction that has not ended; try again.',
  ),
  row(89, 'THROTTLING_QUOTA_EXCEEDED', true, 'A quota is used up; wait for throttle_time and try again.'),
  row(90, 'PRODUCER_FENCED', false, 'A newer producer uses the same transactional id.'),
  row(91, 'RESOURCE_NOT_FOUND', false, 'There is no such resource.'),
  row(92, 'DUPLICATE_RESOURCE', false, 'The request names a resource twice.'),
  row(93, 'UNACCEPTABLE_CREDENTIAL', false, 'The credential does not meet the rules for credentials.'),
  row(94, 'INCONSISTENT_VOTER_SET', false, 'Sender or receiver is not one of the expected voters.'),
  row(95, 'INVALID_UPDATE_VERSION', false, 'The feature cannot be set to this version.'),
  row(96, 'FEATURE_UPDATE_FAILED', false, 'The controller failed to store the features.'),
  row(
    97,
    'PRINCIPAL_DESERIALIZATION_FAILURE',
    false,
    'A forwarded request names its principal in a form that cannot be read.',
  ),
  row(98, 'SNAPSHOT_NOT_FOUND', false, 'There is no such snapshot.'),
  row(99, 'POSITION_OUT_OF_RANGE', false, 'The position lies outside the snapshot.'),
  row(100, 'UNKNOWN_TOPIC_ID', true, 'The broker has no topic with this id.'),
  row(101, 'DUPLICATE_BROKER_REGISTRATION', false, 'Another broker runs under this id.'),
  row(102, 'BROKER_ID_NOT_REGISTERED', false, 'No broker is registered under this id.'),
  row(103, 'INCONSISTENT_TOPIC_ID', true, 'The topic was deleted and created again under another id.'),
  row(104, 'INCONSISTENT_CLUSTER_ID', false, 'The request is meant for another cluster.'),
  row(105, 'TRANSACTIONAL_ID_NOT_FOUND', false, 'There is no such transactional id.'),
  row(
    106,
    'FETCH_SESSION_TOPIC_ID_ERROR',
    true,
    'The fetch session mixes topic names and topic ids; open a new one.',
  ),
  row(107, 'INELIGIBLE_REPLICA', false, 'A replica may not join those in sync.'),
  row(108, 'NEW_LEADER_ELECTED', false, 'The change was made, and it made another broker the leader.'),
  row(109, 'OFFSET_MOVED_TO_TIERED_STORAGE', false, 'The offset has moved to tiered storage.'),
  row(110, 'FENCED_MEMBER_EPOCH', false, "The member's epoch is fenced; give up all partitions and rejoin."),
  row(111, 'UNRELEASED_INSTANCE_ID', false, 'A member of the group still uses this instance id.'),
  row(112, 'UNSUPPORTED_ASSIGNOR', false, 'The group cannot use this assignor.'),
  row(113, 'STALE_MEMBER_EPOCH', false, "The member's epoch is old; use the one from the next heartbeat."),
  row(
    114,
    'MISMATCHED_ENDPOINT_TYPE',
    false,
    'The request went to a broker instead of a controller, or the other way round.',
  ),
  row(115, 'UNSUPPORTED_ENDPOINT_TYPE', false, 'Endpoints of this type are not supported.'),
  row(116, 'UNKNOWN_CONTROLLER_ID', false, 'There is no controller with this id.'),
  row(117, 'UNKNOWN_SUBSCRIPTION_ID', false, 'The telemetry subscription is unknown or has changed.'),
  row(118, 'TELEMETRY_TOO_LARGE', false, 'The telemetry is larger than the broker accepts.'),
  row(119, 'INVALID_REGISTRATION', false, "The controller refuses the broker's registration."),
  row(
    120,
    'TRANSACTION_ABORTABLE',
    false,
    'The transaction failed; abort it and go on with the same producer.',
  ),
  row(121, 'INVALID_RECORD_STATE', false, 'The record cannot be acknowledged in its state.'),
  row(122, 'SHARE_SESSION_NOT_FOUND', true, 'The broker has dropped the share session; open a new one.'),
  row(123, 'INVALID_SHARE_SESSION_EPOCH', true, 'The share session is at another epoch; open a new one.'),
  row(124, 'FENCED_STATE_EPOCH', false, 'The state epoch is not the current one.'),
  row(125, 'INVALID_VOTER_KEY', false, "The voter's key is not the one the replica has."),
  row(126, 'DUPLICATE_VOTER', false, 'The voter is in the set already.'),
  row(127, 'VOTER_NOT_FOUND', false, 'The set has no such voter.'),
  row(128, 'INVALID_REGULAR_EXPRESSION', false, 'The regular expression is not valid.'),
  row(
    129,
    'REBOOTSTRAP_REQUIRED',
    false,
    "The client's metadata is out of date; start again from the bootstrap servers.",
  ),
  row(130, 'STREAMS_INVALID_TOPOLOGY', false, 'The Streams topology is not valid.'),
  row(131, 'STREAMS_INVALID_TOPOLOGY_EPOCH', false, 'The epoch of the Streams topology is not valid.'),
  row(132, 'STREAMS_TOPOLOGY_FENCED', false, 'The Streams topology has been replaced by a newer one.'),
  row(133, 'SHARE_SESSION_LIMIT_REACHED', true, 'The broker has as many share sessions as it allows.'),
  row(134, 'GROUP_DELETION_FAILED', false, 'The group could not be deleted; its own message says why.'),
  row(
    135,
    'STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED',
    false,
    'The description of the Streams topology could not be stored.',
  ),
  row(136, 'CONTROLLER_ID_NOT_REGISTERED', false, 'No controller is registered under this id.'),
] as const

function row<const Code extends number, const Name extends string>(
  code: Code,
  name: Name,
  retriable: boolean,
  message: string,
): { readonly code: Code; readonly name: Name; readonly retriable: boolean; readonly message: string } {
  return { code, name, retriable, message }
}

type Row = (typeof table)[number]
export type ErrorName = Row['name']
export interface KafkaError extends ErrorRow {
  readonly name: ErrorName
}

/** All errors, by ascending code. */
export const errors: readonly KafkaError[] = table

/** The codes by name: `ErrorCode.NOT_COORDINATOR` is 16. */
export const ErrorCode = Object.fromEntries(table.map(({ name, code }) => [name, code])) as {
  readonly [R in Row as R['name']]: R['code']
}

const byCode = new Map<number, KafkaError>(table.map((error) => [error.code, error]))

/** The error of a code; a code this table does not know is an UNKNOWN_SERVER_ERROR that names it. */
export function errorByCode(code: number): KafkaError {
  return (
    byCode.get(code) ?? { ...table[0], code, message: `The broker answered with the unknown error ${code}.` }
  )
}
