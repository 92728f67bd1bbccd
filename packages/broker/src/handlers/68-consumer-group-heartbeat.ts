import {
  type ConsumerGroupHeartbeatRequest,
  type ConsumerGroupHeartbeatResponseInput,
  consumerGroupHeartbeat,
} from '@streambus/protocol'
import { requestingClient } from '../groups/requesting-client.ts'
import type { BrokerServices, Handler } from '../handler.ts'

/**
 * ConsumerGroupHeartbeat (key 68), versions 0–1 (KIP-848): a member joins, stays in, or leaves a consumer group,
 * and hears what it is assigned. Always answered at once. What happens to the group is told in
 * groups/consumer/heartbeats.ts.
 */
export function consumerGroupHeartbeatHandler({
  groups,
}: BrokerServices): Handler<ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponseInput> {
  return {
    api: consumerGroupHeartbeat,
    minVersion: 0,
    maxVersion: 1,
    async handle(request, context) {
      const answer = await groups.consumerHeartbeat(request, requestingClient(context))
      return { throttleTimeMs: 0, ...answer }
    },
  }
}
