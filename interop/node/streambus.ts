/** Our own SDK as a worker, from its sources. Argument: the broker's address. */
import {
  connect,
  type Message,
  type Producer,
  type StreamBus,
  type TransactionalProducer,
} from '@streambus/client'
import type { CompressionName } from '@streambus/protocol'
import { RecordDigest, recordAt } from '../records.ts'
import {
  type ConsumeCommand,
  offsetOf,
  type ProduceCommand,
  serve,
  type TransactCommand,
  type WorkerClient,
} from './worker.ts'

const CHUNK_RECORDS = 500
const IDLE_LIMIT_MS = 5_000

const [bootstrap] = process.argv.slice(2) as [string]

class StreamBusClient implements WorkerClient {
  readonly #bus: StreamBus
  /** One producer per setting for the life of the worker, so that it lives through a restart of the broker. */
  readonly #producers = new Map<string, Producer>()
  readonly #transactional = new Map<string, TransactionalProducer>()

  constructor(bus: StreamBus) {
    this.#bus = bus
  }

  async createTopic(topic: string, partitions: number): Promise<void> {
    await this.#bus.admin.createTopic(topic, { partitions })
  }

  async produce({ topic, set, from, to, codec, idempotent }: ProduceCommand) {
    const producer = this.#producer(codec as CompressionName, idempotent)
    let acknowledged = 0
    let wrongOffset: string | null = null
    const sendChunk = async (start: number) => {
      const end = Math.min(start + CHUNK_RECORDS, to)
      const messages = Array.from({ length: end - start }, (_, at) => {
        const { key, value, headers, timestampMs } = recordAt(set, start + at)
        const named = headers.map(([name, bytes]) => ({ key: name, value: bytes }))
        return {
          key,
          value,
          headers: named,
          timestamp: timestampMs,
          partition: (start + at) % set.partitions,
        }
      })
      const sent = await producer.sendBatch(topic, messages)
      for (const [at, { partition, offset }] of sent.entries()) {
        const expected = offsetOf(set, start + at)
        if (offset !== expected) wrongOffset ??= `partition ${partition}: ${offset} instead of ${expected}`
      }
      acknowledged += sent.length
    }
    const chunks: Promise<void>[] = []
    for (let start = from; start < to; start += CHUNK_RECORDS) {
      chunks.push(sendChunk(start))
      // Without sequences a retry may overtake the batch behind it.
      if (!idempotent) await chunks.at(-1)
    }
    await Promise.all(chunks)
    return { acknowledged, wrongOffset }
  }

  async consume({ topic, partition, fromOffset, count }: ConsumeCommand) {
    const digest = new RecordDigest()
    const idle = new AbortController()
    let timer = setTimeout(() => idle.abort(), IDLE_LIMIT_MS)
    const range = { partitions: [partition], from: fromOffset, limit: count, signal: idle.signal }
    try {
      for await (const message of this.#bus.consumer(topic, range)) {
        clearTimeout(timer)
        timer = setTimeout(() => idle.abort(), IDLE_LIMIT_MS)
        add(digest, message)
      }
    } catch (error) {
      if (!idle.signal.aborted) throw error
    } finally {
      clearTimeout(timer)
    }
    return digest.end()
  }

  async offsetForTime(topic: string, partition: number, timestampMs: number): Promise<number> {
    const [found] = await this.#bus.admin.listOffsets([{ topic, partition, at: { timestampMs } }])
    return found?.offset ?? -1
  }

  async transact({ topic, id, from, to, outcome, timeoutMs }: TransactCommand): Promise<void> {
    let producer = this.#transactional.get(id)
    if (producer === undefined) {
      producer = this.#bus.producer({ transactionalId: id, transactionTimeoutMs: timeoutMs })
      this.#transactional.set(id, producer)
    }
    const messages = Array.from({ length: to - from }, (_, at) => ({
      value: `${outcome} ${from + at}`,
      partition: 0,
    }))
    const aborted = new Error('aborted on purpose')
    await new Promise<void>((resolve, reject) => {
      const transaction = producer.transaction(async (tx) => {
        await tx.sendBatch(topic, messages)
        if (outcome === 'abort') throw aborted
        if (outcome === 'commit') return
        resolve()
        await new Promise(() => {})
      })
      transaction.then(resolve, (error) => (error === aborted ? resolve() : reject(error)))
    })
  }

  async close(): Promise<void> {
    await this.#bus.close()
  }

  #producer(compression: CompressionName, idempotent: boolean): Producer {
    const setting = `${compression} ${idempotent}`
    const known = this.#producers.get(setting)
    if (known !== undefined) return known
    const producer = this.#bus.producer({ compression, idempotent, acks: 'all', deliveryTimeoutMs: 30_000 })
    this.#producers.set(setting, producer)
    return producer
  }
}

function add(digest: RecordDigest, { offset, key, value, headers, timestamp }: Message): void {
  const named = headers.map((header) => [header.key, header.value] as const)
  digest.add(offset, key, value, named, timestamp)
}

await serve(new StreamBusClient(await connect({ brokers: bootstrap, clientId: 'interop-streambus' })))
