import {
  api,
  array,
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
 * Appends record batches to partitions. v9 is flexible (KIP-482), v10 names the new leader on
 * NOT_LEADER_OR_FOLLOWER (KIP-951), v12 adds to the transaction implicitly (KIP-890), v13 names topics by
 * id (KIP-516). Versions 0–2 carry older record formats and have no schema.
 */
export const produce = api(0, 'Produce', {
  request: message(
    { versions: '3-13', flexible: '9+' },
    {
      transactionalId: string({ nullable: '3+', default: null }),
      acks: int16(),
      timeoutMs: int32(),
      topicData: array({
        name: string({ versions: '3-12', ignorable: true }),
        topicId: uuid({ versions: '13+', ignorable: true }),
        partitionData: array({
          index: int32(),
          records: records({ nullable: '3+' }),
        }),
      }),
    },
  ),
  response: message(
    { versions: '3-13', flexible: '9+' },
    {
      responses: array({
        name: string({ versions: '3-12', ignorable: true }),
        topicId: uuid({ versions: '13+', ignorable: true }),
        partitionResponses: array({
          index: int32(),
          errorCode: int16(),
          baseOffset: int64(),
          logAppendTimeMs: int64({ default: -1n, ignorable: true }),
          logStartOffset: int64({ versions: '5+', default: -1n, ignorable: true }),
          recordErrors: array(
            {
              batchIndex: int32(),
              batchIndexErrorMessage: string({ nullable: '8+', default: null }),
            },
            { versions: '8+', ignorable: true },
          ),
          errorMessage: string({ versions: '8+', nullable: '8+', default: null, ignorable: true }),
          currentLeader: struct(
            {
              leaderId: int32({ default: -1 }),
              leaderEpoch: int32({ default: -1 }),
            },
            { versions: '10+', tag: 0 },
          ),
        }),
      }),
      throttleTimeMs: int32({ default: 0, ignorable: true }),
      nodeEndpoints: array(
        {
          nodeId: int32(),
          host: string(),
          port: int32(),
          rack: string({ nullable: '10+', default: null }),
        },
        { versions: '10+', tag: 0 },
      ),
    },
  ),
})

export type ProduceRequest = Message<typeof produce.request>
export type ProduceResponse = Message<typeof produce.response>
export type ProduceRequestInput = MessageInput<typeof produce.request>
export type ProduceResponseInput = MessageInput<typeof produce.response>
