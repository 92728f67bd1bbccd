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
} from '../schema.ts'

/**
 * Moves partitions to other replicas, or calls that off (KIP-455). v1 may forbid that their number changes
 * (KIP-860).
 */
export const alterPartitionReassignments = api(45, 'AlterPartitionReassignments', {
  request: message(
    { versions: '0-1', flexible: '0+' },
    {
      timeoutMs: int32({ default: 60000 }),
      allowReplicationFactorChange: bool({ versions: '1+', default: true }),
      topics: array({
        name: string(),
        partitions: array({
          partitionIndex: int32(),
          replicas: array(int32(), { nullable: '0+', default: null }),
        }),
      }),
    },
  ),
  response: message(
    { versions: '0-1', flexible: '0+' },
    {
      throttleTimeMs: int32(),
      allowReplicationFactorChange: bool({ versions: '1+', default: true, ignorable: true }),
      errorCode: int16(),
      errorMessage: string({ nullable: '0+' }),
      responses: array({
        name: string(),
        partitions: array({
          partitionIndex: int32(),
          errorCode: int16(),
          errorMessage: string({ nullable: '0+' }),
        }),
      }),
    },
  ),
})

export type AlterPartitionReassignmentsRequest = Message<typeof alterPartitionReassignments.request>
export type AlterPartitionReassignmentsResponse = Message<typeof alterPartitionReassignments.response>
export type AlterPartitionReassignmentsRequestInput = MessageInput<typeof alterPartitionReassignments.request>
export type AlterPartitionReassignmentsResponseInput = MessageInput<
  typeof alterPartitionReassignments.response
>
