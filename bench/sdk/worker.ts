/**
 * Measures one client. Arguments: its module, the broker's address, the folder with its node_modules, and the tasks
 * as JSON. Prints a line of JSON for each task.
 */
import type { OpenClient } from './client.ts'

export type Task =
  /** Messages one after the other, each awaited. */
  | { readonly kind: 'one-by-one'; readonly topic: string; readonly messages: number }
  /** So many calls of `send` at once, all awaited together. */
  | { readonly kind: 'concurrent'; readonly topic: string; readonly messages: number }
  /** Batches of so many, ten of them under way at any time. */
  | {
      readonly kind: 'batches'
      readonly topic: string
      readonly batches: number
      readonly batchMessages: number
    }
  /** Everything in the topic, from its first message to its last. */
  | { readonly kind: 'consume'; readonly topic: string; readonly group: string; readonly messages: number }

export interface TaskResult {
  readonly messagesPerSecond: number
  /** The most that was in use of the heap, as seen every 50 ms; consuming only. */
  readonly maxHeapMb?: number
}

const VALUE = Buffer.alloc(100, 'x')
const BATCHES_IN_FLIGHT = 10
/** The first messages of a process measure how its code is compiled. */
const WARM_UP_MESSAGES = 2_000
const HEAP_SAMPLE_MS = 50
const MB = 1e6

const [module, bootstrap, modulesDir, tasks] = process.argv.slice(2) as [string, string, string, string]
const { open } = (await import(module)) as { open: OpenClient }
const client = await open(bootstrap, modulesDir)

function rate(messages: number, startedMs: number): number {
  return (messages / (performance.now() - startedMs)) * 1000
}

async function perform(task: Task): Promise<TaskResult> {
  if (task.kind === 'consume') return await consume(task)
  const { topic } = task
  if (task.kind === 'one-by-one') {
    for (let sent = 0; sent < WARM_UP_MESSAGES; sent++) await client.send(topic, VALUE)
  }
  const startedMs = performance.now()
  if (task.kind === 'one-by-one') {
    for (let sent = 0; sent < task.messages; sent++) await client.send(topic, VALUE)
    return { messagesPerSecond: rate(task.messages, startedMs) }
  }
  if (task.kind === 'concurrent') {
    await Promise.all(Array.from({ length: task.messages }, () => client.send(topic, VALUE)))
    return { messagesPerSecond: rate(task.messages, startedMs) }
  }
  const batch = Array.from({ length: task.batchMessages }, () => VALUE)
  let begun = 0
  await Promise.all(
    Array.from({ length: BATCHES_IN_FLIGHT }, async () => {
      while (begun++ < task.batches) await client.sendBatch(topic, batch)
    }),
  )
  return { messagesPerSecond: rate(task.batches * task.batchMessages, startedMs) }
}

async function consume({ topic, group, messages }: Task & { kind: 'consume' }): Promise<TaskResult> {
  let count = 0
  let bytes = 0
  let startedMs = 0
  let maxHeapBytes = 0
  const sampling = setInterval(() => {
    maxHeapBytes = Math.max(maxHeapBytes, process.memoryUsage().heapUsed)
  }, HEAP_SAMPLE_MS)
  let done: (perSecond: number) => void
  const finished = new Promise<number>((resolve) => {
    done = resolve
  })
  const { stop } = await client.consume(topic, group, (value) => {
    if (count === 0) startedMs = performance.now()
    bytes += value.length
    if (++count === messages) done(rate(messages, startedMs))
  })
  const messagesPerSecond = await finished
  clearInterval(sampling)
  if (bytes === 0) throw new Error('the messages were empty')
  await stop()
  return { messagesPerSecond, maxHeapMb: maxHeapBytes / MB }
}

for (const task of JSON.parse(tasks) as Task[]) {
  process.stdout.write(`${JSON.stringify(await perform(task))}\n`)
}
await client.close()
process.exit(0)
