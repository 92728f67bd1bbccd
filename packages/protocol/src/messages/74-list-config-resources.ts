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
 * Resources that have settings (KIP-1000 for client metrics). v1 lists those of other types, too (KIP-1142).
 */
export const listConfigResources = api(74, 'ListConfigResources', {
  request: message(
    { versions: '0-1', flexible: '0+' },
    {
      resourceTypes: array(int8(), { versions: '1+' }),
    },
  ),
  response: message(
    { versions: '0-1', flexible: '0+' },
    {
      throttleTimeMs: int32(),
      errorCode: int16(),
      configResources: array({
        resourceName: string(),
        resourceType: int8({ versions: '1+', default: 16, ignorable: true }),
      }),
    },
  ),
})

export type ListConfigResourcesRequest = Message<typeof listConfigResources.request>
export type ListConfigResourcesResponse = Message<typeof listConfigResources.response>
export type ListConfigResourcesRequestInput = MessageInput<typeof listConfigResources.request>
export type ListConfigResourcesResponseInput = MessageInput<typeof listConfigResources.response>
