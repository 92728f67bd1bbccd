/** The cluster as a whole: its brokers, and away with those that will not come back. */
import { unregisterBroker } from '@streambus/protocol'
import type { BrokerInfo } from '../cluster.ts'
import type { VersionRange } from '../connection.ts'
import { brokerError } from '../errors.ts'
import type { AdminOptions, AdminRequests } from './admin-requests.ts'

export interface ClusterDescription {
  readonly clusterId: string | null
  readonly controllerId: number
  readonly brokers: readonly BrokerInfo[]
  /** What the broker asked offers, by API key. */
  readonly apiVersions: ReadonlyMap<number, VersionRange>
}

export function describeWholeCluster(
  requests: AdminRequests,
  options: AdminOptions,
): Promise<ClusterDescription> {
  return requests.onAnyBroker(options, async ({ versions }) => {
    await requests.cluster.describe([], options)
    return { ...requests.cluster.info, apiVersions: versions }
  })
}

export async function forgetBroker(
  requests: AdminRequests,
  brokerId: number,
  options: AdminOptions,
): Promise<void> {
  await requests.onController(options, async (connection) => {
    const { errorCode, errorMessage } = await connection.request(unregisterBroker, { brokerId })
    if (errorCode !== 0) throw brokerError(errorCode, `Cannot unregister broker ${brokerId}`, errorMessage)
  })
}
