import {
  api,
  array,
  bool,
  int8,
  int16,
  int32,
  int64,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

/**
 * Ends a transaction on the partitions a broker leads, by a marker in each (KIP-98). v2 names the
 * transaction version (KIP-1228).
 */
export const writeTxnMarkers = api(27, 'WriteTxnMarkers', {
  request: message(
    { versions: '1-2', flexible: '1+' },
    {
      markers: array({
        producerId: int64(),
        producerEpoch: int16(),
        transactionResult: bool(),
        topics: array({
          name: string(),
          partitionIndexes: array(int32()),
        }),
        coordinatorEpoch: int32(),
        transactionVersion: int8({ versions: '2+', default: 0, ignorable: true }),
      }),
    },
  ),
  response: message(
    { versions: '1-2', flexible: '1+' },
    {
      markers: array({
        producerId: int64(),
        topics: array({
          name: string(),
          partitions: array({
            partitionIndex: int32(),
            errorCode: int16(),
          }),
        }),
      }),
    },
  ),
})

export type WriteTxnMarkersRequest = Message<typeof writeTxnMarkers.request>
export type WriteTxnMarkersResponse = Message<typeof writeTxnMarkers.response>
export type WriteTxnMarkersRequestInput = MessageInput<typeof writeTxnMarkers.request>
export type WriteTxnMarkersResponseInput = MessageInput<typeof writeTxnMarkers.response>
