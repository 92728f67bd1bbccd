import type { Requester } from './network/connection.ts'
import type { HostAndPort, ResolvedOptions } from './options.ts'

/**
 * Where a client is told to find this broker. A broker that listens on every address of its machine, and was
 * not told which one to advertise, gives each client the one that the client has just reached it by.
 */
export function advertisedAddress(
  options: ResolvedOptions,
  listening: Readonly<HostAndPort>,
  requester: Requester,
): Readonly<HostAndPort> {
  if (options.advertise !== undefined) return options.advertise
  if (isEveryAddress(listening.host)) return { host: requester.localAddress, port: listening.port }
  return listening
}

function isEveryAddress(host: string): boolean {
  return host === '' || host === '0.0.0.0' || /^[0:]+$/.test(host)
}
