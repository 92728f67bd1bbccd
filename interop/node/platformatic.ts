/**
 * @platformatic/kafka as a worker. Its consumer stream works only as a member of a group, so records are
 * fetched through the consumer's public `fetch`.
 * Arguments: the folder with its node_modules, the broker's address.
 */
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { RecordDigest, recordAt } from '../records.ts'
import {
  type ConsumeCommand,
  offsetOf,
  type ProduceCommand,
  serve,
  type TransactCommand,
  type WorkerClient,
} from './worker.ts'

interface Message {
  topic: string
  partition: number
  key?: Buffer
  value: Buffer | null
  headers: Map<Buffer, Buffer | null>
  timestamp: bigint
}

interface Producer {
  send(options: {
    messages: Message[]
    acks: number
    compression: string
    idempotent: boolean
  }): Promise<{ offsets?: { topic: string; partition: number; offset: bigint }[] }>
  beginTransaction(): Promise<Transaction>
  close(): Promise<void>
}

interface Transaction {
  send(options: { messages: { topic: string; partition: number; value: Buffer }[] }): Promise<unknown>
  commit(): Promise<void>
  abort(): Promise<void>
}

interface Batch {
  firstOffset: bigint
  firstTimestamp: bigint
  records: {
    timestampDelta: bigint
    offsetDelta: number
    key: Buffer | null
    value: Buffer | null
    headers: [Buffer | null, Buffer | null][]
  }[]
}

interface Consumer {
  metadata(options: { topics: string[] }): Promise<{
    topics: Map<string, { id: string; partitions: { leader: number; leaderEpoch: number }[] }>
  }>
  fetch(options: {
    node: number
    minBytes: number
    maxBytes: number
    maxWaitTime: number
    topics: {
      topicId: string
      partitions: {
        partition: number
        currentLeaderEpoch: number
        fetchOffset: bigint
        lastFetchedEpoch: number
        partitionMaxBytes: number
      }[]
    }[]
  }): Promise<{ responses: { partitions: { errorCode: number; records?: Batch[] | null }[] }[] }>
  listOffsets(options: {
    topics: string[]
    partitions: Record<string, number[]>
    timestamp: bigint
  }): Promise<Map<string, bigint[]>>
  close(): Promise<void>
}

interface Admin {
  createTopics(options: { topics: string[]; partitions: number; replicas: number }): Promise<unknown>
  close(): Promise<void>
}

const CHUNK_RECORDS = 500
const MAX_FETCH_BYTES = 4 << 20

const [modulesDir, bootstrap] = process.argv.slice(2) as [string, string]
const location = createRequire(`${modulesDir}/package.json`).resolve('@platformatic/kafka')
const library = (await import(pathToFileURL(location).href)) as {
  Producer: new (options: object) => Producer
  Consumer: new (options: object) => Consumer
  Admin: new (options: object) => Admin
}

class PlatformaticClient implements WorkerClient {
  readonly #options = { clientId: 'interop-platformatic', bootstrapBrokers: [bootstrap] }
  readonly #producers = new Map<boolean, Producer>()
  readonly #transactional = new Map<string, Producer>()
  readonly #consumer = new library.Consumer({ ...this.#options, groupId: 'interop-platformatic' })
  readonly #admin = new library.Admin(this.#options)

  async createTopic(topic: string, partitions: number): Promise<void> {
    await this.#admin.createTopics({ topics: [topic], partitions, replicas: 1 })
  }

  async produce({ topic, set, from, to, codec, idempotent }: ProduceCommand) {
    const producer = this.#producer(idempotent)
    let acknowledged = 0
    let wrongOffset: string | null = null
    const chunkRecords = set.shape === 'large' ? 1 : CHUNK_RECORDS
    for (let start = from; start < to; start += chunkRecords) {
      const end = Math.min(start + chunkRecords, to)
      const messages: Message[] = []
      for (let index = start; index < end; index++) {
        const { key, value, headers, timestampMs } = recordAt(set, index)
        messages.push({
          topic,
          partition: index % set.partitions,
          ...(key === null ? {} : { key }),
          value,
          headers: new Map(headers.map(([name, header]) => [Buffer.from(name), header])),
          timestamp: BigInt(timestampMs),
        })
      }
      const { offsets } = await producer.send({ messages, acks: -1, compression: codec, idempotent })
      for (const { partition, offset } of offsets ?? []) {
        const firstIndex = messages.findIndex((message) => message.partition === partition)
        const expected = offsetOf(set, start + firstIndex)
        if (Number(offset) !== expected) {
          wrongOffset ??= `partition ${partition}: ${offset} instead of ${expected}`
        }
      }
      acknowledged += messages.length
    }
    return { acknowledged, wrongOffset }
  }

  async consume({ topic, partition, fromOffset, count }: ConsumeCommand) {
    const metadata = await this.#consumer.metadata({ topics: [topic] })
    const description = metadata.topics.get(topic)
    const leader = description?.partitions[partition]
    if (description === undefined || leader === undefined) throw new Error(`${topic} is not in the metadata`)
    const digest = new RecordDigest()
    let offset = fromOffset
    for (let empty = 0; digest.count < count && empty < 5; ) {
      const response = await this.#consumer.fetch({
        node: leader.leader,
        minBytes: 1,
        maxBytes: MAX_FETCH_BYTES,
        maxWaitTime: 500,
        topics: [
          {
            topicId: description.id,
            partitions: [
              {
                partition,
                currentLeaderEpoch: leader.leaderEpoch,
                fetchOffset: BigInt(offset),
                lastFetchedEpoch: -1,
                partitionMaxBytes: MAX_FETCH_BYTES,
              },
            ],
          },
        ],
      })
      const batches = response.responses[0]?.partitions[0]?.records ?? []
      empty = batches.length === 0 ? empty + 1 : 0
      for (const batch of batches) {
        for (const record of batch.records) {
          const recordOffset = Number(batch.firstOffset) + record.offsetDelta
          // A fetch returns the whole batch that holds the offset, so it may start earlier.
          if (recordOffset < offset || digest.count === count) continue
          const headers = record.headers.map(([name, value]) => [String(name), value] as const)
          const timestampMs = Number(batch.firstTimestamp + record.timestampDelta)
          digest.add(recordOffset, record.key, record.value, headers, timestampMs)
          offset = recordOffset + 1
        }
      }
    }
    return digest.end()
  }

  async offsetForTime(topic: string, partition: number, timestampMs: number): Promise<number> {
    const offsets = await this.#consumer.listOffsets({
      topics: [topic],
      partitions: { [topic]: [partition] },
      timestamp: BigInt(timestampMs),
    })
    return Number(offsets.get(topic)?.[partition])
  }

  async transact({ topic, id, from, to, outcome, timeoutMs }: TransactCommand): Promise<void> {
    let producer = this.#transactional.get(id)
    if (producer === undefined) {
      // Otherwise it asks to go on with producer id 0.
      const fresh = { producerId: -1n, producerEpoch: -1 }
      const settings = {
        ...this.#options,
        idempotent: true,
        transactionalId: id,
        timeout: timeoutMs,
        ...fresh,
      }
      producer = new library.Producer(settings)
      this.#transactional.set(id, producer)
    }
    const transaction = await producer.beginTransaction()
    const messages = Array.from({ length: to - from }, (_, index) => ({
      topic,
      partition: 0,
      value: Buffer.from(`${outcome} ${from + index}`),
    }))
    await transaction.send({ messages })
    if (outcome === 'commit') await transaction.commit()
    if (outcome === 'abort') await transaction.abort()
  }

  async close(): Promise<void> {
    for (const producer of this.#transactional.values()) await producer.close()
    for (const producer of this.#producers.values()) await producer.close()
    await this.#consumer.close()
    await this.#admin.close()
  }

  /** One producer of each kind for the life of the worker, so that it lives through a restart of the broker. */
  #producer(idempotent: boolean): Producer {
    const known = this.#producers.get(idempotent)
    if (known !== undefined) return known
    const producer = new library.Producer({ ...this.#options, idempotent, autocreateTopics: true })
    this.#producers.set(idempotent, producer)
    return producer
  }
}

await serve(new PlatformaticClient())
