import {
  api,
  array,
  bool,
  int8,
  int16,
  int32,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

/**
 * The cluster's id, controller and brokers (KIP-700). v1 can ask for controllers (KIP-919), v2 for fenced
 * brokers (KIP-1073).
 */
export const describeCluster = api(60, 'DescribeCluster', {
  request: message(
    { versions: '0-2', flexible: '0+' },
    {
      includeClusterAuthorizedOperations: bool(),
      endpointType: int8({ versions: '1+', default: 1 }),
      includeFencedBrokers: bool({ versions: '2+' }),
    },
  ),
  response: message(
    { versions: '0-2', flexible: '0+' },
    {
      throttleTimeMs: int32(),
      errorCode: int16(),
      errorMessage: string({ nullable: '0+', default: null }),
      endpointType: int8({ versions: '1+', default: 1 }),
      clusterId: string(),
      controllerId: int32({ default: -1 }),
      brokers: array({
        brokerId: int32(),
        host: string(),
        port: int32(),
        rack: string({ nullable: '0+', default: null }),
        isFenced: bool({ versions: '2+' }),
      }),
      clusterAuthorizedOperations: int32({ default: -2147483648 }),
    },
  ),
})

export type DescribeClusterRequest = Message<typeof describeCluster.request>
export type DescribeClusterResponse = Message<typeof describeCluster.response>
export type DescribeClusterRequestInput = MessageInput<typeof describeCluster.request>
export type DescribeClusterResponseInput = MessageInput<typeof describeCluster.response>
