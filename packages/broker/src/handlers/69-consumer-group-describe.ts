import {
  type ConsumerGroupDescribeRequest,
  type ConsumerGroupDescribeResponseInput,
  consumerGroupDescribe,
  ErrorCode,
} from '@streambus/protocol'
import { GroupRefusal } from '../groups/group-refusal.ts'
import type { BrokerServices, Handler } from '../handler.ts'
import { ALL_GROUP_OPERATIONS, OPERATIONS_NOT_ASKED_FOR } from '../node-identity.ts'

/**
 * ConsumerGroupDescribe (key 69), versions 0–1: consumer groups with their members, what these have and what
 * they are to have. A classic group, or none: GROUP_ID_NOT_FOUND.
 */
export function consumerGroupDescribeHandler({
  groups,
}: BrokerServices): Handler<ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponseInput> {
  return {
    api: consumerGroupDescribe,
    minVersion: 0,
    maxVersion: 1,
    handle({ groupIds, includeAuthorizedOperations }) {
      const authorizedOperations = includeAuthorizedOperations
        ? ALL_GROUP_OPERATIONS
        : OPERATIONS_NOT_ASKED_FOR
      // Each group once, however often it is asked for: a short question must not have an endless answer.
      const described = [...new Set(groupIds)].map((groupId) => {
        const group = groupId === '' ? NO_GROUP_ID : groups.describeConsumerGroup(groupId)
        if (!(group instanceof GroupRefusal)) {
          return { errorCode: ErrorCode.NONE, errorMessage: null, ...group, authorizedOperations }
        }
        return {
          errorCode: group.errorCode,
          errorMessage: group.message,
          groupId,
          groupState: '',
          groupEpoch: 0,
          assignmentEpoch: 0,
          assignorName: '',
          members: [],
          authorizedOperations,
        }
      })
      return { throttleTimeMs: 0, groups: described }
    },
  }
}

const NO_GROUP_ID = new GroupRefusal(ErrorCode.INVALID_GROUP_ID, 'GroupId must not be empty.')
