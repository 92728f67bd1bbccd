import {
  ErrorCode,
  type ListGroupsRequest,
  type ListGroupsResponseInput,
  listGroups,
} from '@streambus/protocol'
import type { BrokerServices, Handler } from '../handler.ts'

/**
 * ListGroups (key 16), versions 0–5: all groups, or those in the states (version 4) and of the types (version 5)
 * that are asked for, however they are capitalised.
 */
export function listGroupsHandler({
  groups,
}: BrokerServices): Handler<ListGroupsRequest, ListGroupsResponseInput> {
  return {
    api: listGroups,
    minVersion: 0,
    maxVersion: 5,
    handle({ statesFilter, typesFilter }) {
      const listed = groups.list()
      if (typeof listed === 'number') return { errorCode: listed, groups: [] }
      const states = lowerCased(statesFilter)
      const types = lowerCased(typesFilter)
      return {
        errorCode: ErrorCode.NONE,
        groups: listed.filter(
          ({ groupState, groupType }) =>
            (states.size === 0 || states.has(groupState.toLowerCase())) &&
            (types.size === 0 || types.has(groupType)),
        ),
      }
    },
  }
}

function lowerCased(names: readonly string[]): ReadonlySet<string> {
  return new Set(names.map((name) => name.toLowerCase()))
}
