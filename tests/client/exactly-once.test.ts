import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Broker } from '@streambus/broker'
import { connect, type Message, type Processor, type StreamBus } from '@streambus/client'
import { expect, test } from 'vitest'
import { SeededRandom } from '../robustness/seeded-random.ts'
import { FlakyProxy } from './flaky-proxy.ts'
import { collect } from './test-bus.ts'
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
  })
  proxy.forwardTo(broker.host, broker.port)
  return broker
}

/** A client of its own, as another process would have it, and a worker on it. */
async function startWorker(proxy: FlakyProxy): Promise<{ client: StreamBus; worker: Processor }> {
  const client = await connectThrough(proxy)
  const options = { from: 'in', to: 'out', group: 'g', heartbeatIntervalMs: 100, sessionTimeoutMs: 6_000 }
  const worker = client.process({ ...options, maxTransactionMessages: 50, maxTransactionMs: 50 }, handle)
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

async function handle(message: Message) {
  if (message.offset % 20 === 0) await pause(1)
  return { key: message.key, value: message.text() }
}

test.each([1, 2] as const)(
  'two workers over a network that fails and a broker that restarts put out what came in, exactly (v%i)',
  async (version) => {
    await using server = await RestartingBroker.start()
    const { proxy } = server
    limitTransactions(proxy, version)
    const random = new SeededRandom(version)
    await using source = await connectThrough(proxy)
    await source.admin.createTopic('in', { partitions })
    await source.admin.createTopic('out', { partitions })
    const workers = [await startWorker(proxy), await startWorker(proxy)]
    const producer = source.producer({ maxBatchBytes: 2_000 })
    const input: string[] = []
    const sent: Promise<unknown>[] = []
    for (let step = 0; step < 60; step++) {
      for (let index = 0; index < 40; index++) {
        const value = `${input.length}`
        input.push(value)
        sent.push(producer.send('in', value, { key: value }))
      }
      await pause(15)
      if (step % 20 === 10) await server.restart(random.below(200))
      else if (step % 4 === 3) {
        const side = random.below(2) === 0 ? 'client' : 'broker'
        proxy.loseTowards(side)
        await pause(random.below(30))
        proxy.cut()
        proxy.passTowards(side)
      }
      if (step === 30) {
        // One leaves in good order, the other stays, and one comes.
        await workers[0]!.client.close()
        workers[0] = await startWorker(proxy)
      }
    }
    await Promise.all(sent)
    const failed = workers.map(({ worker }) => worker.finished.then(() => 'ended'))
    const output = collect(source.consumer('out', { limit: input.length }))
    const first = await Promise.race([output.then(() => 'all'), ...failed])
    expect(first).toBe('all')
    await Promise.all(workers.map(({ client }) => client.close()))
    await using direct = await connect(server.broker.address)
    const committed = (await collect(direct.consumer('out', { until: 'end' }))).map(
      (message) => message.text()!,
    )
    const numeric = (a: string, b: string) => Number(a) - Number(b)
    expect(committed.toSorted(numeric)).toEqual(input)
    const offsets = await direct.admin.fetchOffsets('g')
    expect(offsets.reduce((sum, { offset }) => sum + offset, 0)).toBe(input.length)
  },
)
