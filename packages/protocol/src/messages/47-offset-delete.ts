import { api, array, int16, int32, type Message, type MessageInput, message, string } from '../schema.ts'

/** Deletes committed offsets of topics a group no longer consumes (KIP-496). */
export const offsetDelete = api(47, 'OffsetDelete', {
  request: message(
    { versions: '0', flexible: 'none' },
    {
      groupId: string(),
      topics: array({
        name: string(),
        partitions: array({
          partitionIndex: int32(),
        }),
      }),
    },
  ),
  response: message(
    { versions: '0', flexible: 'none' },
    {
      errorCode: int16(),
      throttleTimeMs: int32({ ignorable: true }),
      topics: array({
        name: string(),
        partitions: array({
          partitionIndex: int32(),
          errorCode: int16(),
        }),
      }),
    },
  ),
})

export type OffsetDeleteRequest = Message<typeof offsetDelete.request>
export type OffsetDeleteResponse = Message<typeof offsetDelete.response>
export type OffsetDeleteRequestInput = MessageInput<typeof offsetDelete.request>
export type OffsetDeleteResponseInput = MessageInput<typeof offsetDelete.response>
