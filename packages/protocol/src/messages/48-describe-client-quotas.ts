import {
  api,
  array,
  bool,
  float64,
  int8,
  int16,
  int32,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

/** Quotas of users, clients and addresses (KIP-546). */
export const describeClientQuotas = api(48, 'DescribeClientQuotas', {
  request: message(
    { versions: '0-1', flexible: '1+' },
    {
      components: array({
        entityType: string(),
        matchType: int8(),
        match: string({ nullable: '0+' }),
      }),
      strict: bool(),
    },
  ),
  response: message(
    { versions: '0-1', flexible: '1+' },
    {
      throttleTimeMs: int32(),
      errorCode: int16(),
      errorMessage: string({ nullable: '0+' }),
      entries: array(
        {
          entity: array({
            entityType: string(),
            entityName: string({ nullable: '0+' }),
          }),
          values: array({
            key: string(),
            value: float64(),
          }),
        },
        { nullable: '0+' },
      ),
    },
  ),
})

export type DescribeClientQuotasRequest = Message<typeof describeClientQuotas.request>
export type DescribeClientQuotasResponse = Message<typeof describeClientQuotas.response>
export type DescribeClientQuotasRequestInput = MessageInput<typeof describeClientQuotas.request>
export type DescribeClientQuotasResponseInput = MessageInput<typeof describeClientQuotas.response>
