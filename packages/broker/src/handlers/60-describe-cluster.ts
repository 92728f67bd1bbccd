import {
  type DescribeClusterRequest,
  type DescribeClusterResponseInput,
  describeCluster,
  ErrorCode,
} from '@streambus/protocol'
import { advertisedAddress } from '../advertised-address.ts'
import type { BrokerServices, Handler } from '../handler.ts'
import { ALL_CLUSTER_OPERATIONS, NODE_ID, OPERATIONS_NOT_ASKED_FOR } from '../node-identity.ts'

/**
 * DescribeCluster (key 60), versions 0–2: cluster id and brokers. From version 1 controllers may be asked for
 * instead (KIP-919); they have no endpoint of their own here: MISMATCHED_ENDPOINT_TYPE. No broker is fenced.
 */
const BROKERS = 1

export function describeClusterHandler({
  store,
  options,
  listening,
}: BrokerServices): Handler<DescribeClusterRequest, DescribeClusterResponseInput> {
  return {
    api: describeCluster,
    minVersion: 0,
    maxVersion: 2,
    handle({ includeClusterAuthorizedOperations, endpointType }, { requester }) {
      if (endpointType !== BROKERS) {
        return {
          throttleTimeMs: 0,
          errorCode: ErrorCode.MISMATCHED_ENDPOINT_TYPE,
          errorMessage: 'This is the endpoint of a broker: ask it for brokers (endpoint type 1).',
          clusterId: store.clusterId,
          brokers: [],
        }
      }
      const { host, port } = advertisedAddress(options, listening, requester)
      return {
        throttleTimeMs: 0,
        errorCode: ErrorCode.NONE,
        clusterId: store.clusterId,
        controllerId: NODE_ID,
        brokers: [{ brokerId: NODE_ID, host, port }],
        clusterAuthorizedOperations: includeClusterAuthorizedOperations
          ? ALL_CLUSTER_OPERATIONS
          : OPERATIONS_NOT_ASKED_FOR,
      }
    },
  }
}
