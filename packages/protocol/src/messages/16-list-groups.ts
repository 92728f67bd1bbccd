import { api, array, int16, int32, type Message, type MessageInput, message, string } from '../schema.ts'

/** The groups this broker coordinates. v4 filters by state (KIP-518), v5 by type (KIP-848). */
export const listGroups = api(16, 'ListGroups', {
  request: message(
    { versions: '0-5', flexible: '3+' },
    {
      statesFilter: array(string(), { versions: '4+' }),
      typesFilter: array(string(), { versions: '5+' }),
    },
  ),
  response: message(
    { versions: '0-5', flexible: '3+' },
    {
      throttleTimeMs: int32({ versions: '1+', ignorable: true }),
      errorCode: int16(),
      groups: array({
        groupId: string(),
        protocolType: string(),
        groupState: string({ versions: '4+', ignorable: true }),
        groupType: string({ versions: '5+', ignorable: true }),
      }),
    },
  ),
})

export type ListGroupsRequest = Message<typeof listGroups.request>
export type ListGroupsResponse = Message<typeof listGroups.response>
export type ListGroupsRequestInput = MessageInput<typeof listGroups.request>
export type ListGroupsResponseInput = MessageInput<typeof listGroups.response>
