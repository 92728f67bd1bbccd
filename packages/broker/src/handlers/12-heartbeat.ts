import { type HeartbeatRequest, type HeartbeatResponseInput, heartbeat } from '@streambus/protocol'
import type { BrokerServices, Handler } from '../handler.ts'

/**
 * Heartbeat (key 12), versions 0–4: a member of a classic group is alive, and hears of a rebalance with
 * REBALANCE_IN_PROGRESS.
 */
export function heartbeatHandler({
  groups,
}: BrokerServices): Handler<HeartbeatRequest, HeartbeatResponseInput> {
  return {
    api: heartbeat,
    minVersion: 0,
    maxVersion: 4,
    async handle(request) {
      return { errorCode: await groups.heartbeat(request) }
    },
  }
}
