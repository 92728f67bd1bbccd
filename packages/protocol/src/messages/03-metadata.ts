import {
  api,
  array,
  bool,
  int16,
  int32,
  type Message,
  type MessageInput,
  message,
  string,
  uuid,
} from '../schema.ts'

/**
 * Brokers, topics, partitions and their leaders. v0 takes an empty list for all topics, later versions
 * null. v4 lets the client forbid automatic creation, v7 adds leader epochs (KIP-320), v10 topic ids, v12
 * lookup by topic id (KIP-516), v13 a top-level error (KIP-1102).
 */
export const metadata = api(3, 'Metadata', {
  request: message(
    { versions: '0-13', flexible: '9+' },
    {
      topics: array(
        {
          topicId: uuid({ versions: '10+', ignorable: true }),
          name: string({ nullable: '10+' }),
        },
        { nullable: '1+' },
      ),
      allowAutoTopicCreation: bool({ versions: '4+', default: true }),
      includeClusterAuthorizedOperations: bool({ versions: '8-10' }),
      includeTopicAuthorizedOperations: bool({ versions: '8+' }),
    },
  ),
  response: message(
    { versions: '0-13', flexible: '9+' },
    {
      throttleTimeMs: int32({ versions: '3+', ignorable: true }),
      brokers: array({
        nodeId: int32(),
        host: string(),
        port: int32(),
        rack: string({ versions: '1+', nullable: '1+', default: null, ignorable: true }),
      }),
      clusterId: string({ versions: '2+', nullable: '2+', default: null, ignorable: true }),
      controllerId: int32({ versions: '1+', default: -1, ignorable: true }),
      topics: array({
        errorCode: int16(),
        name: string({ nullable: '12+' }),
        topicId: uuid({ versions: '10+', ignorable: true }),
        isInternal: bool({ versions: '1+', default: false, ignorable: true }),
        partitions: array({
          errorCode: int16(),
          partitionIndex: int32(),
          leaderId: int32(),
          leaderEpoch: int32({ versions: '7+', default: -1, ignorable: true }),
          replicaNodes: array(int32()),
          isrNodes: array(int32()),
          offlineReplicas: array(int32(), { versions: '5+', ignorable: true }),
        }),
        topicAuthorizedOperations: int32({ versions: '8+', default: -2147483648 }),
      }),
      clusterAuthorizedOperations: int32({ versions: '8-10', default: -2147483648 }),
      errorCode: int16({ versions: '13+', ignorable: true }),
    },
  ),
})

export type MetadataRequest = Message<typeof metadata.request>
export type MetadataResponse = Message<typeof metadata.response>
export type MetadataRequestInput = MessageInput<typeof metadata.request>
export type MetadataResponseInput = MessageInput<typeof metadata.response>
