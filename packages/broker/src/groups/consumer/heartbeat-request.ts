import {
  type ConsumerGroupHeartbeatRequest,
  type ConsumerGroupHeartbeatResponse,
  ErrorCode,
} from '@streambus/protocol'
import { GroupRefusal } from '../group-refusal.ts'
import { JOIN_EPOCH, LEAVE_EPOCH, STATIC_LEAVE_EPOCH } from './member.ts'
import type { AssignorName } from './target-assignment.ts'

export type { ConsumerGroupHeartbeatRequest }
export type HeartbeatAnswer = Omit<ConsumerGroupHeartbeatResponse, 'throttleTimeMs'>

/** From this version on members choose their ids themselves (KIP-1082). */
const CLIENT_CHOOSES_ID_VERSION = 1

const MAX_ID_LENGTH = 1000
const MAX_SUBSCRIBED_TOPICS = 10_000
/** A message repeats names that clients made up; they may be as long as a string can be. */
const MAX_MESSAGE_LENGTH = 4000

/** Throws GroupRefusal INVALID_REQUEST with a sentence about the field at fault, or UNSUPPORTED_ASSIGNOR. */
export function checkHeartbeatRequest(
  request: ConsumerGroupHeartbeatRequest,
  version: number,
  assignors: readonly AssignorName[],
): void {
  const { memberEpoch, instanceId, rackId, subscribedTopicNames, subscribedTopicRegex } = request
  if (isBlank(request.groupId)) refuse('GroupId must not be empty.')
  if (memberEpoch < STATIC_LEAVE_EPOCH) {
    refuse(`MemberEpoch is ${memberEpoch}; it must be at least ${STATIC_LEAVE_EPOCH}.`)
  }
  if (isBlank(request.memberId) && (version >= CLIENT_CHOOSES_ID_VERSION || memberEpoch !== JOIN_EPOCH)) {
    refuse('MemberId must not be empty.')
  }
  if (isBlank(instanceId)) refuse('InstanceId must not be empty.')
  if (isBlank(rackId)) refuse('RackId must not be empty.')
  for (const [name, value] of Object.entries({
    MemberId: request.memberId,
    InstanceId: instanceId,
    RackId: rackId,
  })) {
    if (value !== null && value.length > MAX_ID_LENGTH) {
      refuse(`${name} has ${value.length} characters; it may have ${MAX_ID_LENGTH}.`)
    }
  }
  if (subscribedTopicNames !== null && subscribedTopicNames.length > MAX_SUBSCRIBED_TOPICS) {
    refuse(
      `SubscribedTopicNames lists ${subscribedTopicNames.length} topics; it may list ${MAX_SUBSCRIBED_TOPICS}.`,
    )
  }
  if (memberEpoch === STATIC_LEAVE_EPOCH && instanceId === null) {
    refuse(`InstanceId must be given when MemberEpoch is ${STATIC_LEAVE_EPOCH}.`)
  }
  if (memberEpoch === JOIN_EPOCH) {
    if (request.rebalanceTimeoutMs === -1) refuse('RebalanceTimeoutMs must be given in the first request.')
    if (request.topicPartitions === null || request.topicPartitions.length > 0) {
      refuse('TopicPartitions must be empty when a member joins.')
    }
    if (subscribedTopicNames === null && subscribedTopicRegex === null) {
      refuse('SubscribedTopicNames or SubscribedTopicRegex must be given when a member joins.')
    }
  }
  if (request.rebalanceTimeoutMs < -1) {
    refuse(`RebalanceTimeoutMs is ${request.rebalanceTimeoutMs}; it must not be negative.`)
  }
  const { serverAssignor } = request
  if (serverAssignor !== null && !(assignors as readonly string[]).includes(serverAssignor)) {
    throw new GroupRefusal(
      ErrorCode.UNSUPPORTED_ASSIGNOR,
      `ServerAssignor '${serverAssignor}' is not supported; these are: ${assignors.join(', ')}.`,
    )
  }
}

function isBlank(text: string | null): boolean {
  return text !== null && text.trim() === ''
}

export function isLeaving({ memberEpoch }: ConsumerGroupHeartbeatRequest): boolean {
  return memberEpoch === LEAVE_EPOCH || memberEpoch === STATIC_LEAVE_EPOCH
}

/** Whether a member said everything, as it does when it joins and after an error. */
export function isFullRequest(request: ConsumerGroupHeartbeatRequest): boolean {
  return (
    request.rebalanceTimeoutMs !== -1 &&
    (request.subscribedTopicNames !== null || request.subscribedTopicRegex !== null) &&
    request.topicPartitions !== null
  )
}

export function refusedHeartbeat(errorCode: number, errorMessage: string | null): HeartbeatAnswer {
  return {
    errorCode,
    errorMessage: errorMessage === null ? null : errorMessage.slice(0, MAX_MESSAGE_LENGTH),
    memberId: null,
    memberEpoch: 0,
    heartbeatIntervalMs: 0,
    assignment: null,
  }
}

function refuse(message: string): never {
  throw new GroupRefusal(ErrorCode.INVALID_REQUEST, message)
}
