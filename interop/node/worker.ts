/**
 * The frame of the workers for JavaScript clients. A worker reads commands from standard input, one a line,
 * `name key=value key=value`, and answers each with one line of JSON on standard output: the result, or
 * `{"error": "…"}`. The workers in Java and Python speak the same.
 */
import { createInterface } from 'node:readline'
import type { Consumed, RecordSet } from '../records.ts'

/** Records `from` to `to` (not included) of the set, sent to the topic in order. */
export interface ProduceCommand {
  topic: string
  set: RecordSet
  from: number
  to: number
  codec: string
  idempotent: boolean
}

/** `wrongOffset` names the first acknowledgement whose offset was not the one expected. */
export interface Produced {
  acknowledged: number
  wrongOffset: string | null
}

export interface ConsumeCommand {
  topic: string
  partition: number
  fromOffset: number
  count: number
}

/**
 * Records `from` to `to` (not included) in one transaction of the transactional id, to partition 0. The value of
 * record i is the outcome, a space and i. `open` leaves the transaction as it is.
 */
export interface TransactCommand {
  topic: string
  id: string
  from: number
  to: number
  outcome: 'commit' | 'abort' | 'open'
  timeoutMs: number
}

export interface WorkerClient {
  createTopic(topic: string, partitions: number): Promise<void>
  produce(command: ProduceCommand): Promise<Produced>
  consume(command: ConsumeCommand): Promise<Consumed>
  /** The first offset whose timestamp is at least `timestampMs`. */
  offsetForTime(topic: string, partition: number, timestampMs: number): Promise<number>
  transact(command: TransactCommand): Promise<void>
  close(): Promise<void>
}

/** The offset record i of a set gets in its partition when the topic holds the records before it. */
export function offsetOf(set: RecordSet, index: number): number {
  return Math.floor(index / set.partitions)
}

export async function serve(client: WorkerClient): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    let answer: unknown
    try {
      answer = await run(client, line)
    } catch (error) {
      answer = { error: error instanceof Error ? `${error.name}: ${describe(error)}` : String(error) }
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`)
  }
  await client.close()
}

function describe(error: Error): string {
  const causes = error instanceof AggregateError ? error.errors.map((cause) => String(cause)) : []
  if (error.cause instanceof Error) causes.push(describe(error.cause))
  return [error.message, ...causes].join(' · ')
}

async function run(client: WorkerClient, line: string): Promise<unknown> {
  const [name, ...pairs] = line.split(' ')
  const fields = new Map(pairs.map((pair) => pair.split('=', 2) as [string, string]))
  const field = (key: string): string => {
    const value = fields.get(key)
    if (value === undefined) throw new Error(`${name} without ${key}`)
    return value
  }
  const number = (key: string): number => Number(field(key))
  switch (name) {
    case 'create-topic':
      await client.createTopic(field('topic'), number('partitions'))
      return {}
    case 'produce':
      return client.produce({
        topic: field('topic'),
        set: {
          seed: field('seed'),
          shape: field('shape') as RecordSet['shape'],
          headers: field('headers') as RecordSet['headers'],
          partitions: number('partitions'),
          baseTimestampMs: number('base'),
        },
        from: number('from'),
        to: number('to'),
        codec: field('codec'),
        idempotent: field('idempotent') === 'true',
      })
    case 'consume':
      return client.consume({
        topic: field('topic'),
        partition: number('partition'),
        fromOffset: number('from'),
        count: number('count'),
      })
    case 'offset-for-time':
      return { offset: await client.offsetForTime(field('topic'), number('partition'), number('timestamp')) }
    case 'transact':
      await client.transact({
        topic: field('topic'),
        id: field('id'),
        from: number('from'),
        to: number('to'),
        outcome: field('outcome') as TransactCommand['outcome'],
        timeoutMs: number('timeout'),
      })
      return {}
    default:
      throw new Error(`unknown command ${name}`)
  }
}
