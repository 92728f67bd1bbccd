import { api, array, int16, int32, type Message, type MessageInput, message, string } from '../schema.ts'

/** Partitions that are being moved to other replicas (KIP-455). */
export const listPartitionReassignments = api(46, 'ListPartitionReassignments', {
  request: message(
    { versions: '0', flexible: '0+' },
    {
      timeoutMs: int32({ default: 60000 }),
      topics: array(
        {
          name: string(),
          partitionIndexes: array(int32()),
        },
        { nullable: '0+', default: null },
      ),
    },
  ),
  response: message(
    { versions: '0', flexible: '0+' },
    {
      throttleTimeMs: int32(),
      errorCode: int16(),
      errorMessage: string({ nullable: '0+' }),
      topics: array({
        name: string(),
        partitions: array({
          partitionIndex: int32(),
          replicas: array(int32()),
          addingReplicas: array(int32()),
          removingReplicas: array(int32()),
        }),
      }),
    },
  ),
})

export type ListPartitionReassignmentsRequest = Message<typeof listPartitionReassignments.request>
export type ListPartitionReassignmentsResponse = Message<typeof listPartitionReassignments.response>
export type ListPartitionReassignmentsRequestInput = MessageInput<typeof listPartitionReassignments.request>
export type ListPartitionReassignmentsResponseInput = MessageInput<typeof listPartitionReassignments.response>
