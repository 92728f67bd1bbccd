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
 * Access control rules that match a filter (KIP-140). v1 has patterns of resource names (KIP-290), v3 the
 * resource type of users (KIP-373).
 */
export const describeAcls = api(29, 'DescribeAcls', {
  request: message(
    { versions: '1-3', flexible: '2+' },
    {
      resourceTypeFilter: int8(),
      resourceNameFilter: string({ nullable: '0+' }),
      patternTypeFilter: int8({ default: 3 }),
      principalFilter: string({ nullable: '0+' }),
      hostFilter: string({ nullable: '0+' }),
      operation: int8(),
      permissionType: int8(),
    },
  ),
  response: message(
    { versions: '1-3', flexible: '2+' },
    {
      throttleTimeMs: int32(),
      errorCode: int16(),
      errorMessage: string({ nullable: '0+' }),
      resources: array({
        resourceType: int8(),
        resourceName: string(),
        patternType: int8({ default: 3 }),
        acls: array({
          principal: string(),
          host: string(),
          operation: int8(),
          permissionType: int8(),
        }),
      }),
    },
  ),
})

export type DescribeAclsRequest = Message<typeof describeAcls.request>
export type DescribeAclsResponse = Message<typeof describeAcls.response>
export type DescribeAclsRequestInput = MessageInput<typeof describeAcls.request>
export type DescribeAclsResponseInput = MessageInput<typeof describeAcls.response>
