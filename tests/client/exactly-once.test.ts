import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Broker } from '@streambus/broker'
import { connect, type Message, type Processor, type StreamBus, type Transaction } from '@streambus/client'
import { expect, test } from 'vitest'
import { SeededRandom } from '../robustness/seeded-random.ts'
import { FlakyProxy } from './flaky-proxy.ts'
import { collect, needsStreamBus } from './test-bus.ts'
import { limitTransactions } from './transaction-versions.ts'

const partitions = 4
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** A broker on disk behind a network that fails, which can be stopped and started again. */
class RestartingBroker {
  readonly proxy: FlakyProxy
  readonly dataDir: string
  broker: Broker

  private constructor(proxy: FlakyProxy, dataDir: string, broker: Broker) {
    this.proxy = proxy
    this.dataDir = dataDir
    this.broker = broker
  }

  static async start(): Promise<RestartingBroker> {
    const proxy = await FlakyProxy.listen()
    const dataDir = await mkdtemp(join(tmpdir(), 'streambus-exactly-once-'))
    const broker = await startOn(dataDir, proxy)
    return new RestartingBroker(proxy, dataDir, broker)
  }

  async restart(downMs: number): Promise<void> {
    this.proxy.refusing = true
    this.proxy.cut()
    await this.broker.close()
    await pause(downMs)
    this.broker = await startOn(this.dataDir, this.proxy)
    this.proxy.refusing = false
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.proxy.close()
    await this.broker.close()
    await rm(this.dataDir, { recursive: true, force: true })
  }
}

async function startOn(dataDir: string, proxy: FlakyProxy): Promise<Broker> {
  const broker = await Broker.start({
    port: 0,
    dataDir,
    advertise: { host: proxy.host, port: proxy.port },
    transactions: { abortTimedOutIntervalMs: 100 },
    groups: { initialRebalanceDelayMs: 0 },
  })
  proxy.forwardTo(broker.host, broker.port)
  return broker
}

/** A client of its own, as another process would have it, and a worker on it. */
async function startWorker(
  proxy: FlakyProxy,
  failures: SeededRandom | undefined,
): Promise<{ client: StreamBus; worker: Processor }> {
  const client = await connectThrough(proxy)
  const options = { from: 'in', to: 'out', group: 'g', heartbeatIntervalMs: 100, sessionTimeoutMs: 6_000 }
  // What is not delivered while the broker is away aborts the transaction.
  const producer = { deliveryTimeoutMs: 100 }
  const retry = { attempts: 3, backoff: { initialMs: 1, maxMs: 5 } }
  const worker = client.process(
    { ...options, producer, retry, deadLetter: 'dlq', maxTransactionMessages: 50, maxTransactionMs: 50 },
    (message, tx) => handle(message, tx, failures),
  )
  return { client, worker }
}

function connectThrough(proxy: FlakyProxy): Promise<StreamBus> {
  return connect({
    brokers: proxy.address,
    retryBackoffMs: 5,
    maxRetryBackoffMs: 100,
    requestTimeoutMs: 2_000,
    connectTimeoutMs: 500,
  })
}

/** @param failures where handlers fail now and then, half of the time after they have sent something */
async function handle(message: Message, tx: Transaction, failures: SeededRandom | undefined) {
  if (message.offset % 20 === 0) await pause(1)
  if (failures !== undefined && (isHopeless(message.text()!) || failures.below(100) === 0)) {
    if (failures.below(2) === 0) void tx.send('out', 'in vain')
    throw new Error('now and then')
  }
  return { key: message.key, value: message.text() }
}

/** Whether the handler fails with every attempt. */
const isHopeless = (value: string) => value.endsWith('77')

/** Cuts connections at random, half of the time after bytes were lost in one direction. */
async function cut(proxy: FlakyProxy, random: SeededRandom): Promise<void> {
  const side = (['client', 'broker', undefined] as const)[random.below(3)]
  if (side !== undefined) proxy.loseTowards(side)
  await pause(random.below(20))
  proxy.cut()
  if (side !== undefined) proxy.passTowards(side)
}

test.for([
  [1, false],
  [2, false],
  [2, true],
] as const)(
  'two workers over a network that fails and a broker that restarts put out what came in, exactly (v%i, failing handlers: %s)',
  async ([version, isFailing], context) => {
    needsStreamBus(context, 'its broker is stopped and started again')
    await using server = await RestartingBroker.start()
    const { proxy } = server
    limitTransactions(proxy, version)
    const random = new SeededRandom(version)
    await using source = await connectThrough(proxy)
    await source.admin.createTopic('in', { partitions })
    await source.admin.createTopic('out', { partitions })
    await source.admin.createTopic('dlq')
    const failures = isFailing ? random : undefined
    const workers = [await startWorker(proxy, failures), await startWorker(proxy, failures)]
    const gone: Processor[] = []
    const processed = () => [...gone, ...workers.map(({ worker }) => worker)].map((one) => one.processed)
    const aborted = () =>
      [...gone, ...workers.map(({ worker }) => worker)].map((one) => one.transactionsAborted)
    const total = () => processed().reduce((sum, count) => sum + count, 0)
    const producer = source.producer({ maxBatchBytes: 2_000 })
    const input: string[] = []
    const sent: Promise<unknown>[] = []
    const steps = isFailing ? 10 : 30
    for (let step = 0; step < steps; step++) {
      for (let index = 0; index < 100; index++) {
        const value = `${input.length}`
        input.push(value)
        sent.push(producer.send('in', value, { key: value }))
      }
      // The workers are at it while the next thing goes wrong.
      const before = total()
      for (let waits = 0; total() === before && waits < 400; waits++) await pause(5)
      if (step % 10 === 5) await server.restart(100 + random.below(300))
      else await cut(proxy, random)
      if (step === steps * 0.4) {
        // One leaves in good order, the other stays, and one comes.
        gone.push(workers[0]!.worker)
        await workers[0]!.client.close()
        workers[0] = await startWorker(proxy, failures)
      }
    }
    await Promise.all(sent)
    const failed = workers.map(({ worker }) => worker.finished.then(() => 'ended'))
    const output = collect(source.consumer(['out', 'dlq'], { limit: input.length }))
    expect(await Promise.race([output.then(() => 'all'), ...failed])).toBe('all')
    await Promise.all(workers.map(({ client }) => client.close()))
    await using direct = await connect(server.broker.address)
    const valuesIn = async (topic: string) =>
      (await collect(direct.consumer(topic, { until: 'end' }))).map((message) => message.text()!)
    const setAside = await valuesIn('dlq')
    // A message that fails thrice by chance is set aside, too.
    const hopeless = isFailing ? input.filter(isHopeless) : []
    expect(setAside).toEqual(expect.arrayContaining(hopeless))
    expect(setAside.length).toBeLessThan(hopeless.length + 5)
    const committed = [...(await valuesIn('out')), ...setAside]
    expect(committed.toSorted((a, b) => Number(a) - Number(b))).toEqual(input)
    const offsets = await direct.admin.fetchOffsets('g')
    expect(offsets.reduce((sum, { offset }) => sum + offset, 0)).toBe(input.length)
    expect(aborted().some((count) => count > 0)).toBe(true)
    // All three had their part in it.
    expect(processed().every((count) => count > 0)).toBe(true)
  },
)
