import {
  api,
  array,
  bool,
  float64,
  int16,
  int32,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

/** Sets and removes quotas of users, clients and addresses (KIP-546). */
export const alterClientQuotas = api(49, 'AlterClientQuotas', {
  request: message(
    { versions: '0-1', flexible: '1+' },
    {
      entries: array({
        entity: array({
          entityType: string(),
          entityName: string({ nullable: '0+' }),
        }),
        ops: array({
          key: string(),
          value: float64(),
          remove: bool(),
        }),
      }),
      validateOnly: bool(),
    },
  ),
  response: message(
    { versions: '0-1', flexible: '1+' },
    {
      throttleTimeMs: int32(),
      entries: array({
        errorCode: int16(),
        errorMessage: string({ nullable: '0+' }),
        entity: array({
          entityType: string(),
          entityName: string({ nullable: '0+' }),
        }),
      }),
    },
  ),
})

export type AlterClientQuotasRequest = Message<typeof alterClientQuotas.request>
export type AlterClientQuotasResponse = Message<typeof alterClientQuotas.response>
export type AlterClientQuotasRequestInput = MessageInput<typeof alterClientQuotas.request>
export type AlterClientQuotasResponseInput = MessageInput<typeof alterClientQuotas.response>
