import {
  api,
  array,
  int16,
  int32,
  int64,
  type Message,
  type MessageInput,
  message,
  string,
  uint16,
  uuid,
} from '../schema.ts'

/**
 * The quorum of controllers and how far each replica of its log has come (KIP-595). v1 has times (KIP-836),
 * v2 directory ids and addresses (KIP-853).
 */
export const describeQuorum = api(55, 'DescribeQuorum', {
  request: message(
    { versions: '0-2', flexible: '0+' },
    {
      topics: array({
        topicName: string(),
        partitions: array({
          partitionIndex: int32(),
        }),
      }),
    },
  ),
  response: message(
    { versions: '0-2', flexible: '0+' },
    {
      errorCode: int16(),
      errorMessage: string({ versions: '2+', nullable: '2+', ignorable: true }),
      topics: array({
        topicName: string(),
        partitions: array({
          partitionIndex: int32(),
          errorCode: int16(),
          errorMessage: string({ versions: '2+', nullable: '2+', ignorable: true }),
          leaderId: int32(),
          leaderEpoch: int32(),
          highWatermark: int64(),
          currentVoters: array({
            replicaId: int32(),
            replicaDirectoryId: uuid({ versions: '2+' }),
            logEndOffset: int64(),
            lastFetchTimestamp: int64({ versions: '1+', default: -1n, ignorable: true }),
            lastCaughtUpTimestamp: int64({ versions: '1+', default: -1n, ignorable: true }),
          }),
          observers: array({
            replicaId: int32(),
            replicaDirectoryId: uuid({ versions: '2+' }),
            logEndOffset: int64(),
            lastFetchTimestamp: int64({ versions: '1+', default: -1n, ignorable: true }),
            lastCaughtUpTimestamp: int64({ versions: '1+', default: -1n, ignorable: true }),
          }),
        }),
      }),
      nodes: array(
        {
          nodeId: int32(),
          listeners: array({
            name: string(),
            host: string(),
            port: uint16(),
          }),
        },
        { versions: '2+' },
      ),
    },
  ),
})

export type DescribeQuorumRequest = Message<typeof describeQuorum.request>
export type DescribeQuorumResponse = Message<typeof describeQuorum.response>
export type DescribeQuorumRequestInput = MessageInput<typeof describeQuorum.request>
export type DescribeQuorumResponseInput = MessageInput<typeof describeQuorum.response>
