import {
  api,
  array,
  bytes,
  int8,
  int16,
  int32,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

/** Sets and deletes SCRAM credentials of users; passwords arrive salted and hashed (KIP-554). */
export const alterUserScramCredentials = api(51, 'AlterUserScramCredentials', {
  request: message(
    { versions: '0', flexible: '0+' },
    {
      deletions: array({
        name: string(),
        mechanism: int8(),
      }),
      upsertions: array({
        name: string(),
        mechanism: int8(),
        iterations: int32(),
        salt: bytes(),
        saltedPassword: bytes(),
      }),
    },
  ),
  response: message(
    { versions: '0', flexible: '0+' },
    {
      throttleTimeMs: int32(),
      results: array({
        user: string(),
        errorCode: int16(),
        errorMessage: string({ nullable: '0+' }),
      }),
    },
  ),
})

export type AlterUserScramCredentialsRequest = Message<typeof alterUserScramCredentials.request>
export type AlterUserScramCredentialsResponse = Message<typeof alterUserScramCredentials.response>
export type AlterUserScramCredentialsRequestInput = MessageInput<typeof alterUserScramCredentials.request>
export type AlterUserScramCredentialsResponseInput = MessageInput<typeof alterUserScramCredentials.response>
