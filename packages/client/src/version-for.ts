import type { Api } from '@streambus/protocol'
import type { Connection } from './connection.ts'
import { StreamBusError } from './errors.ts'
import { formatAddress } from './options.ts'

/**
 * The version of an API both sides know. Throws UNSUPPORTED_API where it is below the one that can do what is asked
 * for; that an API is not offered at all is told by the request.
 *
 * @param doing what needs the version, as in "it cannot …"
 */
export function versionFor(connection: Connection, api: Api, needed: number, doing: string): number {
  const offered = connection.versionOf(api)
  if (offered === undefined || offered >= needed) return offered ?? 0
  throw new StreamBusError(
    'UNSUPPORTED_API',
    `${formatAddress(connection.address)} cannot ${doing}: it serves ${api.name} ${offered}, which takes version ${needed}.`,
  )
}
