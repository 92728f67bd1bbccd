import {
  api,
  array,
  int8,
  int16,
  int32,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

/**
 * Deletes the access control rules that match filters, and tells which (KIP-140). v1 has patterns of
 * resource names (KIP-290), v3 the resource type of users (KIP-373).
 */
export const deleteAcls = api(31, 'DeleteAcls', {
  request: message(
    { versions: '1-3', flexible: '2+' },
    {
      filters: array({
        resourceTypeFilter: int8(),
        resourceNameFilter: string({ nullable: '0+' }),
        patternTypeFilter: int8({ default: 3 }),
        principalFilter: string({ nullable: '0+' }),
        hostFilter: string({ nullable: '0+' }),
        operation: int8(),
        permissionType: int8(),
      }),
    },
  ),
  response: message(
    { versions: '1-3', flexible: '2+' },
    {
      throttleTimeMs: int32(),
      filterResults: array({
        errorCode: int16(),
        errorMessage: string({ nullable: '0+' }),
        matchingAcls: array({
          errorCode: int16(),
          errorMessage: string({ nullable: '0+' }),
          resourceType: int8(),
          resourceName: string(),
          patternType: int8({ default: 3 }),
          principal: string(),
          host: string(),
          operation: int8(),
          permissionType: int8(),
        }),
      }),
    },
  ),
})

export type DeleteAclsRequest = Message<typeof deleteAcls.request>
export type DeleteAclsResponse = Message<typeof deleteAcls.response>
export type DeleteAclsRequestInput = MessageInput<typeof deleteAcls.request>
export type DeleteAclsResponseInput = MessageInput<typeof deleteAcls.response>
