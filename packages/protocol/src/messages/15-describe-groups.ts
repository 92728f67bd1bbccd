import {
  api,
  array,
  bool,
  bytes,
  int16,
  int32,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

/**
 * State and members of classic groups. v3 lists permitted operations (KIP-430), v4 instance ids (KIP-345),
 * v6 answers GROUP_ID_NOT_FOUND for a group that does not exist (KIP-1043).
 */
export const describeGroups = api(15, 'DescribeGroups', {
  request: message(
    { versions: '0-6', flexible: '5+' },
    {
      groups: array(string()),
      includeAuthorizedOperations: bool({ versions: '3+' }),
    },
  ),
  response: message(
    { versions: '0-6', flexible: '5+' },
    {
      throttleTimeMs: int32({ versions: '1+', ignorable: true }),
      groups: array({
        errorCode: int16(),
        errorMessage: string({ versions: '6+', nullable: '6+', default: null }),
        groupId: string(),
        groupState: string(),
        protocolType: string(),
        protocolData: string(),
        members: array({
          memberId: string(),
          groupInstanceId: string({ versions: '4+', nullable: '4+', default: null, ignorable: true }),
          clientId: string(),
          clientHost: string(),
          memberMetadata: bytes(),
          memberAssignment: bytes(),
        }),
        authorizedOperations: int32({ versions: '3+', default: -2147483648 }),
      }),
    },
  ),
})

export type DescribeGroupsRequest = Message<typeof describeGroups.request>
export type DescribeGroupsResponse = Message<typeof describeGroups.response>
export type DescribeGroupsRequestInput = MessageInput<typeof describeGroups.request>
export type DescribeGroupsResponseInput = MessageInput<typeof describeGroups.response>
