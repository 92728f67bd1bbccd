/**
 * Dead letters: messages that a handler could not handle, published to a topic of their own. Key, value and headers
 * are as they were; headers that say why and where from are added, and replaying takes them off again.
 */
import { StreamBusError, sentenceOf } from '../errors.ts'
import type { Message, MessageHeader, OutgoingMessage } from '../message.ts'

const prefix = 'streambus-dlq-'

/** The headers of a dead letter. Their values are UTF-8 text; docs/sdk/consuming.md has the same table. */
export const deadLetterHeaders = {
  /** What the error says, the first 1,024 bytes. */
  reason: `${prefix}reason`,
  /** The name of the error's class. */
  error: `${prefix}error`,
  /** The stack of the error, as much as `maxStackBytes`; absent where it has none. */
  stack: `${prefix}stack`,
  /** Where the message lies that could not be handled. */
  topic: `${prefix}topic`,
  partition: `${prefix}partition`,
  offset: `${prefix}offset`,
  /** Its timestamp in milliseconds since 1970; -1 where it has none. */
  timestamp: `${prefix}timestamp`,
  /** The group that read it; absent where it was read without one. */
  group: `${prefix}group`,
  /** How often it was given to the handler. */
  attempts: `${prefix}attempts`,
  /** When it was given up, in milliseconds since 1970. */
  time: `${prefix}time`,
} as const

const maxReasonBytes = 1_024

/** What the headers of a dead letter say. */
export interface DeadLetter {
  readonly reason: string
  readonly error: string
  readonly stack: string | null
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** Of the original message, in milliseconds since 1970; -1 where it has none. */
  readonly timestamp: number
  readonly group: string | null
  readonly attempts: number
  /** When it was given up, in milliseconds since 1970. */
  readonly time: number
}

export interface Failure {
  readonly error: unknown
  readonly attempts: number
  readonly group: string | null
}

/** Throws INVALID_ARGUMENT where dead letters would be read again, and fail again, without end. */
export function checkDeadLetterTopic(topic: string | undefined, read: readonly string[]): void {
  if (topic === undefined || !read.includes(topic)) return
  const message = `Dead letters of '${topic}' cannot go to '${topic}' itself: they would come again for ever.`
  throw new StreamBusError('INVALID_ARGUMENT', message)
}

/** The dead letter of a message. */
export function deadLetterFor(
  message: Message,
  { error, attempts, group }: Failure,
  maxStackBytes: number,
): OutgoingMessage {
  const added: [string, string | number][] = [
    [deadLetterHeaders.reason, reasonOf(error)],
    [deadLetterHeaders.error, error instanceof Error ? error.name : typeof error],
    [deadLetterHeaders.topic, message.topic],
    [deadLetterHeaders.partition, message.partition],
    [deadLetterHeaders.offset, message.offset],
    [deadLetterHeaders.timestamp, message.timestamp],
    [deadLetterHeaders.attempts, attempts],
    [deadLetterHeaders.time, Date.now()],
  ]
  if (group !== null) added.push([deadLetterHeaders.group, group])
  if (error instanceof Error && error.stack !== undefined) {
    added.push([deadLetterHeaders.stack, truncated(error.stack, maxStackBytes)])
  }
  return {
    key: message.key,
    value: message.value,
    headers: [...message.headers, ...added.map(([key, value]) => ({ key, value: String(value) }))],
  }
}

/** A message that could not be handled could not be set aside either. */
export function deadLetterFailed(
  { topic, partition, offset }: Message,
  error: unknown,
  deadLetterTopic: string,
  failure: unknown,
): StreamBusError {
  return new StreamBusError(
    'DEAD_LETTER_FAILED',
    `The handler failed with offset ${offset} of ${topic}/${partition} (${sentenceOf(error)}), and the message could not be published to '${deadLetterTopic}': ${sentenceOf(failure)}`,
    { cause: failure },
  )
}

/** What has the headers of a message: the message, one with types, or what `produced` of the test kit gives. */
export type WithHeaders =
  | Pick<Message, 'header'>
  | { readonly headers: Readonly<Record<string, string | null>> }

/** What a dead letter says of its origin; undefined where the message is none. */
export function readDeadLetter(message: WithHeaders): DeadLetter | undefined {
  const text = (name: keyof typeof deadLetterHeaders) => {
    const header = deadLetterHeaders[name]
    return ('header' in message ? message.header(header)?.toString() : message.headers[header]) ?? null
  }
  const number = (name: keyof typeof deadLetterHeaders) => Number(text(name) ?? Number.NaN)
  const topic = text('topic')
  const partition = number('partition')
  const offset = number('offset')
  if (topic === null || !Number.isSafeInteger(partition) || !Number.isSafeInteger(offset)) return undefined
  return {
    reason: text('reason') ?? '',
    error: text('error') ?? '',
    stack: text('stack'),
    topic,
    partition,
    offset,
    timestamp: number('timestamp'),
    group: text('group'),
    attempts: number('attempts'),
    time: number('time'),
  }
}

/** The headers a message had before it became a dead letter. */
export function originalHeaders({ headers }: Message): MessageHeader[] {
  return headers.filter(({ key }) => !key.startsWith(prefix))
}

/** What the error says, as much as goes into a header. */
export function reasonOf(error: unknown): string {
  return truncated(sentenceOf(error), maxReasonBytes)
}

/** The first bytes of a text, no character cut in two. */
function truncated(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text)
  if (bytes.byteLength <= maxBytes) return text
  let end = maxBytes
  // In UTF-8, bytes 10xxxxxx continue a character.
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}
