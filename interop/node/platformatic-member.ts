/** @platformatic/kafka as a member of a group; arguments as in group-member.ts. */
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { inputEnded, memberArguments, Ownership, ProcessedRanges, tell } from './group-member.ts'

interface Message {
  partition: number
  offset: bigint
  commit(): Promise<void>
}

interface Stream extends AsyncIterable<Message> {
  on(event: 'autocommit', listener: (error: Error | null, offsets?: Committed[]) => void): void
}

interface Committed {
  partition: number
  offset: bigint
}

interface Consumer {
  readonly assignments: { topic: string; partitions: number[] }[] | null
  on(event: string, listener: (payload: never) => void): void
  consume(options: object): Promise<Stream>
  close(force: boolean): Promise<void>
}

const COMMIT_INTERVAL_MS = 100
const RETRY_MS = 200
const CLOSE_TIMEOUT_MS = 5_000

const { modulesDir, bootstrap, topic, group, variant, sessionTimeoutMs, instanceId } = memberArguments()
const location = createRequire(`${modulesDir}/package.json`).resolve('@platformatic/kafka')
const { Consumer } = (await import(pathToFileURL(location).href)) as {
  Consumer: new (options: object) => Consumer
}
const consumer = new Consumer({
  clientId: 'interop-platformatic-member',
  bootstrapBrokers: [bootstrap],
  groupId: group,
  retries: 50,
  retryDelay: 200,
  maxWaitTime: 200,
  ...(instanceId === null ? {} : { groupInstanceId: instanceId }),
  ...(variant === 'consumer'
    ? { groupProtocol: 'consumer' }
    : { sessionTimeout: sessionTimeoutMs, rebalanceTimeout: 20_000, heartbeatInterval: 500 }),
  ...(variant === 'cooperative' ? { protocols: [{ name: 'cooperative-sticky', version: 3 }] } : {}),
})
const owned = new Ownership()
let stopping = false
let leaving = false
const assigned = (): number[] =>
  leaving ? [] : (consumer.assignments?.find((assignment) => assignment.topic === topic)?.partitions ?? [])
// Told before the request that gives partitions up, or that joins again, leaves.
const eager = variant === 'eager' || variant === 'static'
consumer.on('consumer:group:rebalance', () => owned.set(eager ? [] : assigned()))
consumer.on('consumer:group:join', () => {
  if (eager) owned.set([])
  owned.set(assigned())
})
consumer.on('consumer:heartbeat:start', () => {
  if (!eager) owned.set(assigned())
})

/** Processed and not yet committed: the last message of each partition. Its own commit commits before it is processed. */
const uncommitted = new Map<number, Message>()
const ranges = new ProcessedRanges()

async function commit(): Promise<void> {
  ranges.flush()
  const messages = [...uncommitted.values()]
  uncommitted.clear()
  const commits = await Promise.allSettled(messages.map((message) => message.commit()))
  for (const result of commits) {
    // What was not committed is processed again, by whoever has the partition then.
    if (result.status === 'rejected') console.error(`commit: ${result.reason}`)
  }
}

let committing: Promise<void> = Promise.resolve()
const timer = setInterval(() => {
  committing = committing.then(commit)
}, COMMIT_INTERVAL_MS)

async function leave(): Promise<void> {
  await inputEnded()
  stopping = true
  clearInterval(timer)
  await committing
  await commit()
  leaving = true
  owned.set([])
  // It may leave the group and yet wait for ever for a stream that is broken.
  await Promise.race([consumer.close(true), sleep(CLOSE_TIMEOUT_MS)])
  tell('closed')
  process.exit(0)
}

const left = leave()
while (!stopping) {
  try {
    const stream = await consumer.consume({
      topics: [topic],
      mode: 'committed',
      fallbackMode: 'earliest',
      autocommit: false,
    })
    stream.on('autocommit', (_, offsets) => {
      for (const { partition, offset } of offsets ?? []) tell('commit', partition, Number(offset))
    })
    for await (const message of stream) {
      if (stopping) continue
      ranges.add(message.partition, Number(message.offset))
      uncommitted.set(message.partition, message)
    }
  } catch (error) {
    // The stream ends with an error when a commit finds that the group has moved on: the next one continues.
    console.error(`stream: ${error}`)
    uncommitted.clear()
    await sleep(RETRY_MS)
  }
}
await left
