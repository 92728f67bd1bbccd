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

/** The users that have SCRAM credentials, never the credentials themselves (KIP-554). */
export const describeUserScramCredentials = api(50, 'DescribeUserScramCredentials', {
  request: message(
    { versions: '0', flexible: '0+' },
    {
      users: array(
        {
          name: string(),
        },
        { nullable: '0+' },
      ),
    },
  ),
  response: message(
    { versions: '0', flexible: '0+' },
    {
      throttleTimeMs: int32(),
      errorCode: int16(),
      errorMessage: string({ nullable: '0+' }),
      results: array({
        user: string(),
        errorCode: int16(),
        errorMessage: string({ nullable: '0+' }),
        credentialInfos: array({
          mechanism: int8(),
          iterations: int32(),
        }),
      }),
    },
  ),
})

export type DescribeUserScramCredentialsRequest = Message<typeof describeUserScramCredentials.request>
export type DescribeUserScramCredentialsResponse = Message<typeof describeUserScramCredentials.response>
export type DescribeUserScramCredentialsRequestInput = MessageInput<
  typeof describeUserScramCredentials.request
>
export type DescribeUserScramCredentialsResponseInput = MessageInput<
  typeof describeUserScramCredentials.response
>
