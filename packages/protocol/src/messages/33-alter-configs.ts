import {
  api,
  array,
  bool,
  int8,
  int16,
  int32,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

/**
 * Replaces all settings of a resource: what is not named returns to its default. Superseded by
 * IncrementalAlterConfigs.
 */
export const alterConfigs = api(33, 'AlterConfigs', {
  request: message(
    { versions: '0-2', flexible: '2+' },
    {
      resources: array({
        resourceType: int8(),
        resourceName: string(),
        configs: array({
          name: string(),
          value: string({ nullable: '0+' }),
        }),
      }),
      validateOnly: bool(),
    },
  ),
  response: message(
    { versions: '0-2', flexible: '2+' },
    {
      throttleTimeMs: int32(),
      responses: array({
        errorCode: int16(),
        errorMessage: string({ nullable: '0+' }),
        resourceType: int8(),
        resourceName: string(),
      }),
    },
  ),
})

export type AlterConfigsRequest = Message<typeof alterConfigs.request>
export type AlterConfigsResponse = Message<typeof alterConfigs.response>
export type AlterConfigsRequestInput = MessageInput<typeof alterConfigs.request>
export type AlterConfigsResponseInput = MessageInput<typeof alterConfigs.response>
