import {
  api,
  array,
  int8,
  int16,
  int32,
  int64,
  type Message,
  type MessageInput,
  message,
  records,
  string,
  struct,
  uuid,
} from '../schema.ts'

/**
 * Reads record batches. v7 has incremental sessions (KIP-227), v11 the reader's rack (KIP-392), v12 is
 * flexible and detects divergence (KIP-595), v13 names topics by id (KIP-516), v15 moves the follower into
 * a tagged field (KIP-903), v16 names new leaders (KIP-951).
 */
export const fetch = api(1, 'Fetch', {
  request: message(
    { versions: '4-18', flexible: '12+' },
    {
      clusterId: string({ versions: '12+', nullable: '12+', tag: 0, default: null, ignorable: true }),
      replicaId: int32({ versions: '4-14', default: -1 }),
      replicaState: struct(
        {
          replicaId: int32({ default: -1 }),
          replicaEpoch: int64({ default: -1n }),
        },
        { versions: '15+', tag: 1 },
      ),
      maxWaitMs: int32(),
      minBytes: int32(),
      maxBytes: int32({ default: 0x7fffffff, ignorable: true }),
      isolationLevel: int8({ default: 0, ignorable: true }),
      sessionId: int32({ versions: '7+', default: 0, ignorable: true }),
      sessionEpoch: int32({ versions: '7+', default: -1, ignorable: true }),
      topics: array({
        topic: string({ versions: '4-12', ignorable: true }),
        topicId: uuid({ versions: '13+', ignorable: true }),
        partitions: array({
          partition: int32(),
          currentLeaderEpoch: int32({ versions: '9+', default: -1, ignorable: true }),
          fetchOffset: int64(),
          lastFetchedEpoch: int32({ versions: '12+', default: -1 }),
          logStartOffset: int64({ versions: '5+', default: -1n, ignorable: true }),
          partitionMaxBytes: int32(),
          replicaDirectoryId: uuid({ versions: '17+', tag: 0, ignorable: true }),
          highWatermark: int64({ versions: '18+', tag: 1, default: 0x7fffffffffffffffn, ignorable: true }),
        }),
      }),
      forgottenTopicsData: array(
        {
          topic: string({ versions: '7-12', ignorable: true }),
          topicId: uuid({ versions: '13+', ignorable: true }),
          partitions: array(int32()),
        },
        { versions: '7+' },
      ),
      rackId: string({ versions: '11+', default: '', ignorable: true }),
    },
  ),
  response: message(
    { versions: '4-18', flexible: '12+' },
    {
      throttleTimeMs: int32({ ignorable: true }),
      errorCode: int16({ versions: '7+', ignorable: true }),
      sessionId: int32({ versions: '7+', default: 0 }),
      responses: array({
        topic: string({ versions: '4-12', ignorable: true }),
        topicId: uuid({ versions: '13+', ignorable: true }),
        partitions: array({
          partitionIndex: int32(),
          errorCode: int16(),
          highWatermark: int64(),
          lastStableOffset: int64({ default: -1n, ignorable: true }),
          logStartOffset: int64({ versions: '5+', default: -1n, ignorable: true }),
          divergingEpoch: struct(
            {
              epoch: int32({ default: -1 }),
              endOffset: int64({ default: -1n }),
            },
            { versions: '12+', tag: 0 },
          ),
          currentLeader: struct(
            {
              leaderId: int32({ default: -1 }),
              leaderEpoch: int32({ default: -1 }),
            },
            { versions: '12+', tag: 1 },
          ),
          snapshotId: struct(
            {
              endOffset: int64({ default: -1n }),
              epoch: int32({ default: -1 }),
            },
            { versions: '12+', tag: 2 },
          ),
          abortedTransactions: array(
            {
              producerId: int64(),
              firstOffset: int64(),
            },
            { nullable: '4+', ignorable: true },
          ),
          preferredReadReplica: int32({ versions: '11+', default: -1 }),
          records: records({ nullable: '4+' }),
        }),
      }),
      nodeEndpoints: array(
        {
          nodeId: int32(),
          host: string(),
          port: int32(),
          rack: string({ nullable: '16+', default: null }),
        },
        { versions: '16+', tag: 0 },
      ),
    },
  ),
})

export type FetchRequest = Message<typeof fetch.request>
export type FetchResponse = Message<typeof fetch.response>
export type FetchRequestInput = MessageInput<typeof fetch.request>
export type FetchResponseInput = MessageInput<typeof fetch.response>
