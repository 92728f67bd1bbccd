import {
  api,
  array,
  bool,
  int16,
  int32,
  int64,
  type Message,
  type MessageInput,
  message,
  string,
  uuid,
} from '../schema.ts'

/**
 * Reads committed offsets. v2 can ask for all topics, v5 gives leader epochs (KIP-320), v7 waits for
 * transactional commits to become stable (KIP-447), v8 takes several groups (KIP-709), v9 checks the member
 * (KIP-848), v10 names topics by id.
 */
export const offsetFetch = api(9, 'OffsetFetch', {
  request: message(
    { versions: '0-10', flexible: '6+' },
    {
      groupId: string({ versions: '0-7' }),
      topics: array(
        {
          name: string(),
          partitionIndexes: array(int32()),
        },
        { versions: '0-7', nullable: '2-7' },
      ),
      groups: array(
        {
          groupId: string(),
          memberId: string({ versions: '9+', nullable: '9+', default: null, ignorable: true }),
          memberEpoch: int32({ versions: '9+', default: -1, ignorable: true }),
          topics: array(
            {
              name: string({ versions: '8-9', ignorable: true }),
              topicId: uuid({ versions: '10+', ignorable: true }),
              partitionIndexes: array(int32()),
            },
            { nullable: '8+' },
          ),
        },
        { versions: '8+' },
      ),
      requireStable: bool({ versions: '7+', default: false }),
    },
  ),
  response: message(
    { versions: '0-10', flexible: '6+' },
    {
      throttleTimeMs: int32({ versions: '3+', ignorable: true }),
      topics: array(
        {
          name: string(),
          partitions: array({
            partitionIndex: int32(),
            committedOffset: int64(),
            committedLeaderEpoch: int32({ versions: '5-7', default: -1, ignorable: true }),
            metadata: string({ nullable: '0-7' }),
            errorCode: int16(),
          }),
        },
        { versions: '0-7' },
      ),
      errorCode: int16({ versions: '2-7', default: 0, ignorable: true }),
      groups: array(
        {
          groupId: string(),
          topics: array({
            name: string({ versions: '8-9', ignorable: true }),
            topicId: uuid({ versions: '10+', ignorable: true }),
            partitions: array({
              partitionIndex: int32(),
              committedOffset: int64(),
              committedLeaderEpoch: int32({ default: -1, ignorable: true }),
              metadata: string({ nullable: '8+' }),
              errorCode: int16(),
            }),
          }),
          errorCode: int16({ default: 0 }),
        },
        { versions: '8+' },
      ),
    },
  ),
})

export type OffsetFetchRequest = Message<typeof offsetFetch.request>
export type OffsetFetchResponse = Message<typeof offsetFetch.response>
export type OffsetFetchRequestInput = MessageInput<typeof offsetFetch.request>
export type OffsetFetchResponseInput = MessageInput<typeof offsetFetch.response>
