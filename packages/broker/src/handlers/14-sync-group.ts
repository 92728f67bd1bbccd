import { type SyncGroupRequest, type SyncGroupResponseInput, syncGroup } from '@streambus/protocol'
import { requestingClient } from '../groups/requesting-client.ts'
import type { BrokerServices, Handler } from '../handler.ts'

/**
 * SyncGroup (key 14), versions 0–5: brings what the leader of a classic group has assigned to every member. The
 * answer comes when the leader has spoken and its assignments are durable (groups/classic/sync.ts).
 */
export function syncGroupHandler({
  groups,
}: BrokerServices): Handler<SyncGroupRequest, SyncGroupResponseInput> {
  return {
    api: syncGroup,
    minVersion: 0,
    maxVersion: 5,
    handle(request, context) {
      return groups.sync(request, requestingClient(context))
    },
  }
}
