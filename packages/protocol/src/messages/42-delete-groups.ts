import { api, array, int16, int32, type Message, type MessageInput, message, string } from '../schema.ts'

/** Deletes groups without members, with their offsets (KIP-229). */
export const deleteGroups = api(42, 'DeleteGroups', {
  request: message(
    { versions: '0-2', flexible: '2+' },
    {
      groupsNames: array(string()),
    },
  ),
  response: message(
    { versions: '0-2', flexible: '2+' },
    {
      throttleTimeMs: int32(),
      results: array({
        groupId: string(),
        errorCode: int16(),
      }),
    },
  ),
})

export type DeleteGroupsRequest = Message<typeof deleteGroups.request>
export type DeleteGroupsResponse = Message<typeof deleteGroups.response>
export type DeleteGroupsRequestInput = MessageInput<typeof deleteGroups.request>
export type DeleteGroupsResponseInput = MessageInput<typeof deleteGroups.response>
