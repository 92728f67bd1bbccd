import {
  type DescribeGroupsRequest,
  type DescribeGroupsResponseInput,
  describeGroups,
  ErrorCode,
} from '@streambus/protocol'
import type { BrokerServices, Handler } from '../handler.ts'
import { ALL_GROUP_OPERATIONS, OPERATIONS_NOT_ASKED_FOR } from '../node-identity.ts'

/**
 * DescribeGroups (key 15), versions 0–6: classic groups with their members. A group that does not exist, or is
 * not classic, is 'Dead', from version 6 with GROUP_ID_NOT_FOUND.
 */
type GroupResponse = DescribeGroupsResponseInput['groups'][number]

const NOT_FOUND_SINCE = 6
/** Longest part of a group id that a message shows. */
const SHOWN_CHARS = 250

export function describeGroupsHandler({
  groups,
}: BrokerServices): Handler<DescribeGroupsRequest, DescribeGroupsResponseInput> {
  return {
    api: describeGroups,
    minVersion: 0,
    maxVersion: 6,
    handle(request, { version }) {
      const authorizedOperations = request.includeAuthorizedOperations
        ? ALL_GROUP_OPERATIONS
        : OPERATIONS_NOT_ASKED_FOR
      const describe = (groupId: string): GroupResponse => {
        const described = groups.describe(groupId)
        if (typeof described !== 'number') {
          return { errorCode: ErrorCode.NONE, groupId, ...described, authorizedOperations }
        }
        const nothing = { groupId, protocolType: '', protocolData: '', members: [], authorizedOperations }
        if (described !== ErrorCode.GROUP_ID_NOT_FOUND)
          return { ...nothing, errorCode: described, groupState: '' }
        if (version < NOT_FOUND_SINCE) return { ...nothing, errorCode: ErrorCode.NONE, groupState: 'Dead' }
        return {
          ...nothing,
          errorCode: described,
          errorMessage: `Group ${groupId.slice(0, SHOWN_CHARS)} not found.`,
          groupState: 'Dead',
        }
      }
      // Each group once, however often it is asked for: a short question must not have an endless answer.
      return { groups: [...new Set(request.groups)].map(describe) }
    },
  }
}
