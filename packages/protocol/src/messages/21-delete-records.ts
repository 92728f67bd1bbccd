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
} from '../schema.ts'

/** Removes a partition's records before an offset (KIP-107). */
export const deleteRecords = api(21, 'DeleteRecords', {
  request: message(
    { versions: '0-2', flexible: '2+' },
    {
      topics: array({
        name: string(),
        partitions: array({
          partitionIndex: int32(),
          offset: int64(),
        }),
      }),
      timeoutMs: int32(),
    },
  ),
  response: message(
    { versions: '0-2', flexible: '2+' },
    {
      throttleTimeMs: int32({ default: 0 }),
      topics: array({
        name: string(),
        partitions: array({
          partitionIndex: int32(),
          lowWatermark: int64(),
          errorCode: int16(),
        }),
      }),
    },
  ),
})

export type DeleteRecordsRequest = Message<typeof deleteRecords.request>
export type DeleteRecordsResponse = Message<typeof deleteRecords.response>
export type DeleteRecordsRequestInput = MessageInput<typeof deleteRecords.request>
export type DeleteRecordsResponseInput = MessageInput<typeof deleteRecords.response>
