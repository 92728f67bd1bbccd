/**
 * Exactly once: two workers of a client copy a topic to another in transactions, while they and the broker are
 * killed. Whoever reads the copy with read_committed finds the original: every record once, in order.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { runCommand } from '../../peers/command.ts'
import { ensureProgram } from '../../peers/debian.ts'
import type { InteropClient } from '../client.ts'
import { Flow } from '../groups/flow.ts'
import { javaProgram, type Program } from '../java-programs.ts'
import type { Ledger } from '../ledger.ts'
import { platformatic } from '../npm-clients.ts'
import { type RecordSet, recordAt } from '../records.ts'
import type { Target } from '../target.ts'
import { Random } from './random.ts'
import { Worker } from './worker.ts'

const KILLS = 20
const MOST_WORKERS = 2
const PARTITIONS = 4
const WORKER_HEAP_MIB = 128
/** More than flow while the kills last. */
const MAX_RECORDS = 200_000
const FLOW = { chunkRecords: 200, pauseMs: 100 }
/** From the moment that everybody works to the next kill. */
const MOST_PAUSE_MS = 1_000
const PROGRESS_TIMEOUT_MS = 120_000
const PROGRESS_POLL_MS = 50
/** A transaction that nobody ends lasts ten seconds; then those who waited for it go on. */
const DRAIN_TIMEOUT_MS = 60_000
const DRAIN_POLL_MS = 500
const CASE = `copies a topic exactly once through ${KILLS} kill -9 of its workers and the broker`

interface ExactlyOnceClient {
  readonly name: string
  /** Workers that share the partitions. */
  readonly workers: number
  program(args: readonly string[]): Promise<Program>
}

export const exactlyOnceClients: readonly ExactlyOnceClient[] = [
  {
    name: 'Java kafka-clients',
    workers: 2,
    program: (args) => javaProgram('clients', 'ExactlyOnceWorker', args, WORKER_HEAP_MIB),
  },
  {
    name: platformatic.name,
    // It reads committed offsets without asking for stable ones (KIP-447): a worker that got a partition from
    // another could start before what that one is just committing.
    workers: 1,
    program: (args) => platformatic.program('platformatic-exactly-once', args),
  },
]

export interface ExactlyOnceOptions {
  readonly target: Target
  readonly ledger: Ledger
  readonly run: string
  readonly sender: InteropClient
  readonly seed: number
  logFileOf(client: string): string
  wanted(client: string): boolean
}

/** One client's copy. */
class Copy {
  readonly client: ExactlyOnceClient
  readonly #options: ExactlyOnceOptions
  readonly #input: string
  readonly #output: string
  readonly #workers: Worker[] = []
  #flow: Flow | undefined
  #workerKills = 0
  #failure: Error | undefined

  constructor(client: ExactlyOnceClient, options: ExactlyOnceOptions) {
    this.client = client
    this.#options = options
    const name = `${options.run}-${client.name.replace(/[^a-zA-Z]+/g, '')}-exactly-once`
    this.#input = `${name}-input`
    this.#output = `${name}-output`
  }

  async start(): Promise<void> {
    const { sender, target, logFileOf } = this.#options
    for (const topic of [this.#input, this.#output]) await sender.createTopic(topic, PARTITIONS)
    this.#flow = new Flow(sender, this.#input, PARTITIONS, MAX_RECORDS, MAX_RECORDS, FLOW)
    for (let worker = 0; worker < this.client.workers; worker++) {
      const id = `${this.#output}-${worker}`
      const args = [target.bootstrap, this.#input, this.#output, this.#input, id]
      this.#workers.push(new Worker(await this.client.program(args), logFileOf(this.client.name)))
    }
  }

  async killWorker(chosen: number): Promise<void> {
    this.#workerKills++
    await this.#workers[chosen % this.#workers.length]!.kill9()
  }

  /** Resolves when each worker has committed a transaction since it was asked. */
  async progress(): Promise<void> {
    const before = this.#workers.map((worker) => worker.committed)
    const deadline = performance.now() + PROGRESS_TIMEOUT_MS
    while (this.#workers.some((worker, index) => worker.committed === before[index])) {
      if (performance.now() > deadline) {
        const idle = this.#workers.findIndex((worker, index) => worker.committed === before[index])
        this.#failure ??= new Error(`worker ${idle} committed nothing for ${PROGRESS_TIMEOUT_MS} ms`)
      }
      if (this.#failure !== undefined) return
      await sleep(PROGRESS_POLL_MS)
    }
  }

  /** Lets the workers finish, and compares. */
  async finish(brokerKills: number): Promise<string> {
    const flow = this.#flow
    if (flow === undefined) throw new Error('nothing was copied')
    if (this.#failure !== undefined) throw this.#failure
    flow.stop()
    await flow.finished()
    const set: RecordSet = {
      seed: this.#input,
      shape: 'mixed',
      headers: 'none',
      partitions: PARTITIONS,
      baseTimestampMs: 0,
    }
    const deadline = performance.now() + DRAIN_TIMEOUT_MS
    let copied = await this.#read()
    while (copied.length < flow.sent && performance.now() < deadline) {
      await sleep(DRAIN_POLL_MS)
      copied = await this.#read()
    }
    for (const worker of this.#workers) await worker.stop()
    // Once more: what came after the last record that was missing would be one too many.
    copied = await this.#read()
    this.#compare(copied, flow.sent, set)
    const committed = this.#workers.reduce((sum, worker) => sum + worker.committed, 0)
    const aborted = this.#workers.reduce((sum, worker) => sum + worker.aborted, 0)
    if (aborted === 0) throw new Error('no transaction was aborted: nothing could have been seen by mistake')
    const records = flow.sent.toLocaleString('en')
    return `${this.#workerKills} of a worker, ${brokerKills} of the broker; ${records} records, ${committed} transactions committed, ${aborted} aborted on purpose`
  }

  async end(): Promise<void> {
    this.#flow?.stop()
    await Promise.allSettled(this.#workers.map((worker) => worker.stop()))
  }

  /** The copy as kcat reads it: partition and value of each record, in the order of each partition. */
  async #read(): Promise<{ partition: number; value: string }[]> {
    const args = ['-C', '-q', '-e', '-b', this.#options.target.bootstrap, '-t', this.#output]
    const settings = ['-X', 'isolation.level=read_committed', '-o', 'beginning', '-f', '%p %s\\n']
    const { stdout } = await runCommand('kcat', [...args, ...settings])
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const space = line.indexOf(' ')
        return { partition: Number(line.slice(0, space)), value: line.slice(space + 1) }
      })
  }

  #compare(copied: readonly { partition: number; value: string }[], total: number, set: RecordSet): void {
    const next = new Array<number>(PARTITIONS).fill(0)
    for (const { partition, value } of copied) {
      const offset = next[partition]!
      next[partition] = offset + 1
      const original = recordAt(set, offset * PARTITIONS + partition).value
      const expected = `copied ${partition} ${offset} ${original}`
      if (value !== expected) {
        throw new Error(
          `record ${offset} of partition ${partition} of the copy is "${value}", not "${expected}"`,
        )
      }
    }
    if (copied.length !== total)
      throw new Error(`the copy has ${copied.length} records, the original ${total}`)
  }
}

export async function runExactlyOnceCases(options: ExactlyOnceOptions): Promise<void> {
  const { target, ledger, seed, wanted } = options
  const copies = exactlyOnceClients
    .filter(({ name }) => wanted(name))
    .map((client) => new Copy(client, options))
  if (copies.length === 0) return
  await ensureProgram('kcat', 'kcat')
  console.log(`exactly once: --seed ${seed}`)
  const random = new Random(seed)
  let brokerKills = 0
  try {
    for (const copy of copies) await copy.start()
    for (let kill = 0; kill < KILLS; kill++) {
      await Promise.all(copies.map((copy) => copy.progress()))
      await sleep(random.below(MOST_PAUSE_MS))
      const victim = random.below(MOST_WORKERS)
      if (random.below(2) === 0 || !target.keepsTransactions) {
        await Promise.all(copies.map((copy) => copy.killWorker(victim)))
      } else {
        brokerKills++
        await target.kill9()
        await target.restart()
      }
    }
    await Promise.all(
      copies.map((copy) => ledger.run(copy.client.name, CASE, () => copy.finish(brokerKills))),
    )
  } finally {
    await Promise.all(copies.map((copy) => copy.end()))
  }
}
