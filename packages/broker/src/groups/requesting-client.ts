import type { RequestContext } from '../handler.ts'
import type { WaitingClient } from './group-client.ts'

/** The client as groups know it. */
export function requestingClient({ version, clientId, requester }: RequestContext): WaitingClient {
  const address = requester.peer.replace(/:\d+$/, '').replace(/^::ffff:/, '')
  return {
    clientId: clientId ?? '',
    clientHost: `/${address}`,
    apiVersion: version,
    startWaiting: () => requester.startWaiting(),
  }
}
