import type { InterceptedRequest } from '@streambus/broker'
import {
  type ConsumerGroupHeartbeatResponseInput,
  type EndTxnResponseInput,
  ErrorCode,
  type FetchRequest,
  type FetchResponseInput,
  type FindCoordinatorRequest,
  type FindCoordinatorResponseInput,
  type HeartbeatResponseInput,
  type InitProducerIdResponseInput,
  type JoinGroupRequest,
  type JoinGroupResponseInput,
  type MetadataRequest,
  type MetadataResponseInput,
  type OffsetCommitRequest,
  type OffsetCommitResponseInput,
  type OffsetFetchRequest,
  type OffsetFetchResponseInput,
  type ProduceRequest,
  type ProduceResponseInput,
  type SyncGroupResponseInput,
} from '@streambus/protocol'

/** The APIs that `faults.refuse` has an answer for, by Kafka's names. */
export const REFUSABLE_APIS = [
  'Produce',
  'Fetch',
  'Metadata',
  'OffsetCommit',
  'OffsetFetch',
  'FindCoordinator',
  'JoinGroup',
  'Heartbeat',
  'ConsumerGroupHeartbeat',
  'SyncGroup',
  'InitProducerId',
  'EndTxn',
] as const

export type RefusableApi = (typeof REFUSABLE_APIS)[number]

/**
 * What the broker would answer, to a body. Undefined as an answer: there was no place for the error in it, and
 * the request goes on as if nothing were wrong.
 */
type Handle = (body: unknown) => unknown
type Refuse<Request, Response> = (
  body: Request,
  request: InterceptedRequest,
  errorCode: number,
  handle: Handle,
) => Response | null | undefined | Promise<Response | undefined>

const MESSAGE = 'A test had the broker refuse this.'
const NO_BYTES = new Uint8Array(0)

const produce: Refuse<ProduceRequest, ProduceResponseInput> = ({ acks, topicData }, request, errorCode) => {
  if (acks === 0) {
    // As the broker does it: only closing can tell the sender.
    request.requester.close()
    return null
  }
  return {
    responses: topicData.map(({ name, topicId, partitionData }) => ({
      name,
      topicId,
      partitionResponses: partitionData.map(({ index }) => ({
        index,
        errorCode,
        baseOffset: -1n,
        errorMessage: MESSAGE,
      })),
    })),
  }
}

const SESSION_ERRORS: readonly number[] = [
  ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
  ErrorCode.INVALID_FETCH_SESSION_EPOCH,
]

/**
 * An error of a partition; of the whole request only where it is one of sessions. A request that goes on with
 * a session does not name its partitions, so `inOpenSession` ends the session first.
 */
const fetch: Refuse<FetchRequest, FetchResponseInput> = ({ topics }, _, errorCode) => {
  if (SESSION_ERRORS.includes(errorCode)) return { errorCode, sessionId: 0, responses: [] }
  return {
    errorCode: ErrorCode.NONE,
    sessionId: 0,
    responses: topics.map(({ topic, topicId, partitions }) => ({
      topic,
      topicId,
      partitions: partitions.map(({ partition }) => ({
        partitionIndex: partition,
        errorCode,
        highWatermark: -1n,
        abortedTransactions: null,
        records: NO_BYTES,
      })),
    })),
  }
}

/** Whether the request is the next one of an incremental fetch session (KIP-227). */
export function inOpenSession({ api, body }: InterceptedRequest): boolean {
  return api.name === 'Fetch' && (body as FetchRequest).sessionEpoch > 0
}

/** Makes the client ask again, for all its partitions by name. */
export const SESSION_GONE: FetchResponseInput = {
  errorCode: ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
  sessionId: 0,
  responses: [],
}

const METADATA_ERROR_SINCE = 13

/** The brokers are told all the same: the error is one of each topic, or, where there is none, of the answer. */
const metadata: Refuse<MetadataRequest, MetadataResponseInput> = async (
  body,
  { version },
  errorCode,
  handle,
) => {
  const answer = (await handle({ ...body, allowAutoTopicCreation: false })) as MetadataResponseInput
  if (answer.topics.length === 0) {
    return version < METADATA_ERROR_SINCE ? undefined : { ...answer, errorCode }
  }
  return { ...answer, topics: answer.topics.map((topic) => ({ ...topic, errorCode, partitions: [] })) }
}

const MANY_KEYS_SINCE = 4

const findCoordinator: Refuse<FindCoordinatorRequest, FindCoordinatorResponseInput> = (
  { coordinatorKeys },
  { version },
  errorCode,
) => {
  const refused = { nodeId: -1, host: '', port: -1, errorCode, errorMessage: MESSAGE }
  if (version < MANY_KEYS_SINCE) return refused
  return { coordinators: coordinatorKeys.map((key) => ({ key, ...refused })) }
}

const PROTOCOL_MAY_BE_NULL_SINCE = 7

const joinGroup: Refuse<JoinGroupRequest, JoinGroupResponseInput> = (
  { memberId },
  { version },
  errorCode,
) => ({
  errorCode,
  generationId: -1,
  protocolName: version < PROTOCOL_MAY_BE_NULL_SINCE ? '' : null,
  leader: '',
  memberId,
  members: [],
})

const syncGroup: Refuse<unknown, SyncGroupResponseInput> = (_, __, errorCode) => ({
  errorCode,
  assignment: NO_BYTES,
})

const heartbeat: Refuse<unknown, HeartbeatResponseInput> = (_, __, errorCode) => ({ errorCode })

const consumerGroupHeartbeat: Refuse<unknown, ConsumerGroupHeartbeatResponseInput> = (_, __, errorCode) => ({
  throttleTimeMs: 0,
  errorCode,
  memberEpoch: 0,
  heartbeatIntervalMs: 0,
})

const offsetCommit: Refuse<OffsetCommitRequest, OffsetCommitResponseInput> = ({ topics }, _, errorCode) => ({
  topics: topics.map(({ name, topicId, partitions }) => ({
    name,
    topicId,
    partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode })),
  })),
})

const GROUP_ERROR_SINCE = 2
const MANY_GROUPS_SINCE = 8

const offsetFetch: Refuse<OffsetFetchRequest, OffsetFetchResponseInput> = (
  { groups, topics },
  { version },
  errorCode,
) => {
  if (version >= MANY_GROUPS_SINCE) {
    return { groups: groups.map(({ groupId }) => ({ groupId, errorCode, topics: [] })) }
  }
  if (version >= GROUP_ERROR_SINCE) return { errorCode, topics: [] }
  return {
    topics: (topics ?? []).map(({ name, partitionIndexes }) => ({
      name,
      partitions: partitionIndexes.map((partitionIndex) => ({
        partitionIndex,
        committedOffset: -1n,
        metadata: null,
        errorCode,
      })),
    })),
  }
}

const initProducerId: Refuse<unknown, InitProducerIdResponseInput> = (_, __, errorCode) => ({
  errorCode,
  producerEpoch: -1,
})

const endTxn: Refuse<unknown, EndTxnResponseInput> = (_, __, errorCode) => ({ throttleTimeMs: 0, errorCode })

/** The answers that carry an error code where a client looks for it. */
export const refusals: Readonly<Record<RefusableApi, Refuse<never, unknown>>> = {
  Produce: produce,
  Fetch: fetch,
  Metadata: metadata,
  OffsetCommit: offsetCommit,
  OffsetFetch: offsetFetch,
  FindCoordinator: findCoordinator,
  JoinGroup: joinGroup,
  Heartbeat: heartbeat,
  ConsumerGroupHeartbeat: consumerGroupHeartbeat,
  SyncGroup: syncGroup,
  InitProducerId: initProducerId,
  EndTxn: endTxn,
}
