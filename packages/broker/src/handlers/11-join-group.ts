import { type JoinGroupRequest, type JoinGroupResponseInput, joinGroup } from '@streambus/protocol'
import { requestingClient } from '../groups/requesting-client.ts'
import type { BrokerServices, Handler } from '../handler.ts'

/**
 * JoinGroup (key 11), versions 0–9: enters a classic group, or its next generation. The answer comes when all
 * members have joined, or the rebalance timeout has passed. What happens to the group is told in
 * groups/classic/join.ts.
 */
const PROTOCOL_MAY_BE_NULL_SINCE = 7

export function joinGroupHandler({
  groups,
}: BrokerServices): Handler<JoinGroupRequest, JoinGroupResponseInput> {
  return {
    api: joinGroup,
    minVersion: 0,
    maxVersion: 9,
    async handle(request, context) {
      const joined = await groups.join(request, requestingClient(context))
      if (context.version >= PROTOCOL_MAY_BE_NULL_SINCE) return joined
      return { ...joined, protocolName: joined.protocolName ?? '' }
    },
  }
}
