import {
  api,
  array,
  int16,
  int32,
  type Message,
  type MessageInput,
  message,
  string,
  uuid,
} from '../schema.ts'

/** Deletes topics, by name, from v6 also by id (KIP-516). */
export const deleteTopics = api(20, 'DeleteTopics', {
  request: message(
    { versions: '0-6', flexible: '4+' },
    {
      topics: array(
        {
          name: string({ nullable: '6+', default: null }),
          topicId: uuid(),
        },
        { versions: '6+' },
      ),
      topicNames: array(string(), { versions: '0-5', ignorable: true }),
      timeoutMs: int32(),
    },
  ),
  response: message(
    { versions: '0-6', flexible: '4+' },
    {
      throttleTimeMs: int32({ versions: '1+', ignorable: true }),
      responses: array({
        name: string({ nullable: '6+' }),
        topicId: uuid({ versions: '6+', ignorable: true }),
        errorCode: int16(),
        errorMessage: string({ versions: '5+', nullable: '5+', default: null, ignorable: true }),
      }),
    },
  ),
})

export type DeleteTopicsRequest = Message<typeof deleteTopics.request>
export type DeleteTopicsResponse = Message<typeof deleteTopics.response>
export type DeleteTopicsRequestInput = MessageInput<typeof deleteTopics.request>
export type DeleteTopicsResponseInput = MessageInput<typeof deleteTopics.response>
