/**
 * Copies a topic to another with @platformatic/kafka, exactly once: consumes, transforms and produces in
 * transactions, and aborts every fifth on purpose before it does the same work again. The lines it writes are
 * those of exactly-once/worker.ts. It ends at the first error: whoever starts it again lets it continue from what
 * was committed.
 * Arguments: the folder with its node_modules, the broker's address, input topic, output topic, group,
 * transactional id, which is also the instance id.
 */
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { inputEnded } from './group-member.ts'

interface Message {
  topic: string
  partition: number
  offset: bigint
  key: Buffer | undefined
  value: Buffer
}

interface Outgoing {
  topic: string
  partition: number
  key?: Buffer
  value: Buffer
}

interface Transaction {
  addConsumer(consumer: Consumer): Promise<void>
  addOffset(message: Message): Promise<void>
  send(options: { messages: Outgoing[] }): Promise<unknown>
  commit(): Promise<void>
  abort(): Promise<void>
  cancel(): Promise<void>
}

interface Consumer {
  consume(options: object): Promise<AsyncIterable<Message>>
  close(force: boolean): Promise<void>
}

const MAX_BATCH_RECORDS = 500
const BATCH_MS = 20
const ABORT_EVERY = 5

const [modulesDir, bootstrap, input, output, group, transactionalId] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
  string,
]
const location = createRequire(`${modulesDir}/package.json`).resolve('@platformatic/kafka')
const library = (await import(pathToFileURL(location).href)) as {
  Producer: new (options: object) => { beginTransaction(): Promise<Transaction> }
  Consumer: new (options: object) => Consumer
}
const options = { clientId: transactionalId, bootstrapBrokers: [bootstrap], retries: 400, retryDelay: 50 }
const producer = new library.Producer({
  ...options,
  idempotent: true,
  transactionalId,
  timeout: 10_000,
  // Otherwise it asks to go on with producer id 0, which a broker refuses to every transactional id that it knows.
  producerId: -1n,
  producerEpoch: -1,
})
const consumer = new library.Consumer({
  ...options,
  groupId: group,
  groupInstanceId: transactionalId,
  sessionTimeout: 30_000,
  rebalanceTimeout: 30_000,
  heartbeatInterval: 500,
  maxWaitTime: 100,
})

let transactions = 0

async function copy(batch: readonly Message[]): Promise<void> {
  transactions++
  if (transactions % ABORT_EVERY === 0) {
    const aborted = await producer.beginTransaction()
    await aborted.send({ messages: batch.map((message) => outgoing(message, 'aborted')) })
    await aborted.abort()
    console.log(`aborted ${batch.length}`)
  }
  const transaction = await producer.beginTransaction()
  await transaction.addConsumer(consumer)
  await transaction.send({ messages: batch.map((message) => outgoing(message, 'copied')) })
  const last = new Map(batch.map((message) => [message.partition, message]))
  for (const message of last.values()) await transaction.addOffset(message)
  await transaction.commit()
  console.log(`committed ${batch.length}`)
}

function outgoing({ partition, offset, key, value }: Message, word: string): Outgoing {
  const text = `${word} ${partition} ${offset} ${value}`
  return { topic: output, partition, ...(key === undefined ? {} : { key }), value: Buffer.from(text) }
}

// Ends what a predecessor left open, before its committed offsets are read: this client does not ask the broker to
// hold them back while they may still change.
await (await producer.beginTransaction()).cancel()
const stream = await consumer.consume({
  topics: [input],
  mode: 'committed',
  fallbackMode: 'earliest',
  autocommit: false,
})
let waiting: Message[] = []
let stopping = false
let failure: unknown

async function copyWhatWaits(): Promise<void> {
  while (!stopping && failure === undefined) {
    if (waiting.length === 0) await new Promise((resolve) => setTimeout(resolve, BATCH_MS))
    else await copy(waiting.splice(0, MAX_BATCH_RECORDS))
  }
}

/**
 * The next offset of each partition. When the group is joined again, the stream starts again from what was
 * committed: what waits here or has been copied comes a second time.
 */
const positions = new Map<number, bigint>()

async function read(): Promise<void> {
  for await (const message of stream) {
    const { partition, offset } = message
    if (stopping || offset < (positions.get(partition) ?? 0n)) continue
    positions.set(partition, offset + 1n)
    waiting.push(message)
  }
}

const fail = (error: unknown): void => {
  failure ??= error
  console.error(error)
  process.exit(1)
}
read().catch(fail)
const copying = copyWhatWaits().catch(fail)
await inputEnded()
stopping = true
await copying
waiting = []
process.exit(0)
