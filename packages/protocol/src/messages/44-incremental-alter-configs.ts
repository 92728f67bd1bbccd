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

/** Sets, deletes, appends to or subtracts from single settings (KIP-339). */
export const incrementalAlterConfigs = api(44, 'IncrementalAlterConfigs', {
  request: message(
    { versions: '0-1', flexible: '1+' },
    {
      resources: array({
        resourceType: int8(),
        resourceName: string(),
        configs: array({
          name: string(),
          configOperation: int8(),
          value: string({ nullable: '0+' }),
        }),
      }),
      validateOnly: bool(),
    },
  ),
  response: message(
    { versions: '0-1', flexible: '1+' },
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

export type IncrementalAlterConfigsRequest = Message<typeof incrementalAlterConfigs.request>
export type IncrementalAlterConfigsResponse = Message<typeof incrementalAlterConfigs.response>
export type IncrementalAlterConfigsRequestInput = MessageInput<typeof incrementalAlterConfigs.request>
export type IncrementalAlterConfigsResponseInput = MessageInput<typeof incrementalAlterConfigs.response>
