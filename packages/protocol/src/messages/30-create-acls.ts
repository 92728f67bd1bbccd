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
 * Adds access control rules (KIP-140). v1 has patterns of resource names (KIP-290), v3 the resource type of
 * users (KIP-373).
 */
export const createAcls = api(30, 'CreateAcls', {
  request: message(
    { versions: '1-3', flexible: '2+' },
    {
      creations: array({
        resourceType: int8(),
        resourceName: string(),
        resourcePatternType: int8({ default: 3 }),
        principal: string(),
        host: string(),
        operation: int8(),
        permissionType: int8(),
      }),
    },
  ),
  response: message(
    { versions: '1-3', flexible: '2+' },
    {
      throttleTimeMs: int32(),
      results: array({
        errorCode: int16(),
        errorMessage: string({ nullable: '0+' }),
      }),
    },
  ),
})

export type CreateAclsRequest = Message<typeof createAcls.request>
export type CreateAclsResponse = Message<typeof createAcls.response>
export type CreateAclsRequestInput = MessageInput<typeof createAcls.request>
export type CreateAclsResponseInput = MessageInput<typeof createAcls.response>
