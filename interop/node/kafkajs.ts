/**
 * kafkajs as a worker. Its consumer works only as a member of a group, so records are fetched through the
 * connection, protocol and record decoding that its consumer itself is built on.
 * Arguments: the folder with its node_modules, the broker's address.
 */
import { createRequire } from 'node:module'
import * as zlib from 'node:zlib'
import { type InteropRecord, RecordDigest, recordAt } from '../records.ts'
import { offsetOf, type ProduceCommand, serve, type TransactCommand, type WorkerClient } from './worker.ts'

interface Message {
  key: Buffer | null
  value: Buffer | null
  partition: number
  headers: Record<string, Buffer | null | (Buffer | null)[]>
  timestamp: string
}

interface Producer {
  connect(): Promise<void>
  disconnect(): Promise<void>
  send(batch: {
    topic: string
    acks: number
    compression: number
    messages: Message[]
  }): Promise<{ partition: number; errorCode: number; baseOffset: string }[]>
  transaction(): Promise<Transaction>
}

interface Transaction {
  send(batch: {
    topic: string
    acks: number
    messages: { value: string; partition: number }[]
  }): Promise<unknown>
  commit(): Promise<void>
  abort(): Promise<void>
}

interface FetchedPartition {
  messages: {
    offset: string
    timestamp: string
    key: Buffer | null
    value: Buffer | null
    headers: Record<string, Buffer | Buffer[]>
  }[]
}

interface Cluster {
  connect(): Promise<void>
  disconnect(): Promise<void>
  addTargetTopic(topic: string): Promise<void>
  findLeaderForPartitions(topic: string, partitions: number[]): Record<string, number[]>
  findBroker(node: { nodeId: string }): Promise<{
    fetch(request: {
      maxWaitTime: number
      topics: {
        topic: string
        partitions: { partition: number; fetchOffset: string; maxBytes: number }[]
      }[]
    }): Promise<{ responses: { partitions: FetchedPartition[] }[] }>
  }>
}

interface Admin {
  connect(): Promise<void>
  disconnect(): Promise<void>
  createTopics(options: {
    waitForLeaders: boolean
    topics: { topic: string; numPartitions: number }[]
  }): Promise<boolean>
  fetchTopicOffsetsByTimestamp(
    topic: string,
    timestamp: number,
  ): Promise<{ partition: number; offset: string }[]>
}

interface Kafka {
  producer(options: object): Producer
  admin(options?: object): Admin
}

interface Codec {
  compress(encoder: { buffer: Buffer }): Promise<Buffer>
  decompress(bytes: Buffer): Promise<Buffer>
}

type CodecFactory = () => Codec

const CHUNK_RECORDS = 500
const MAX_FETCH_BYTES = 4 << 20

const [modulesDir, bootstrap] = process.argv.slice(2) as [string, string]
const load = createRequire(`${modulesDir}/package.json`)
const kafkajs = load('kafkajs') as {
  Kafka: new (options: object) => Kafka
  CompressionTypes: Record<string, number>
  CompressionCodecs: Record<number, CodecFactory>
  Partitioners: Record<string, unknown>
  logLevel: { ERROR: number }
}
const { CompressionTypes, CompressionCodecs } = kafkajs

/** kafkajs brings gzip; the others are plugged in as its documentation says. */
CompressionCodecs[CompressionTypes.Snappy!] = load('kafkajs-snappy') as CodecFactory
const lz4 = load('lz4-napi') as Record<
  'compressFrame' | 'decompressFrame',
  (bytes: Buffer) => Promise<Buffer>
>
CompressionCodecs[CompressionTypes.LZ4!] = () => ({
  compress: (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: (bytes) => lz4.decompressFrame(bytes),
})
const { zstdCompressSync, zstdDecompressSync } = zlib as unknown as Record<string, (bytes: Buffer) => Buffer>
CompressionCodecs[CompressionTypes.ZSTD!] = () => ({
  compress: async (encoder) => zstdCompressSync!(encoder.buffer),
  decompress: async (bytes) => zstdDecompressSync!(bytes),
})

const compressionOf: Record<string, number | undefined> = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}

/** Headers of one name are a list in kafkajs. */
function byName(headers: InteropRecord['headers']): Message['headers'] {
  const named = new Map<string, (Buffer | null)[]>()
  for (const [name, value] of headers) named.set(name, [...(named.get(name) ?? []), value])
  return Object.fromEntries(
    [...named].map(([name, values]) => [name, values.length === 1 ? values[0]! : values]),
  )
}

class KafkajsClient implements WorkerClient {
  readonly #kafka = new kafkajs.Kafka({
    clientId: 'interop-kafkajs',
    brokers: [bootstrap],
    logLevel: kafkajs.logLevel.ERROR,
    retry: { initialRetryTime: 50, maxRetryTime: 2_000, retries: 20 },
  })
  readonly #producers = new Map<boolean, Producer>()
  readonly #transactional = new Map<string, Producer>()
  #admin: Admin | undefined
  #cluster: Cluster | undefined

  async createTopic(topic: string, partitions: number): Promise<void> {
    const admin = await this.#connectedAdmin()
    await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions: partitions }] })
  }

  async produce({ topic, set, from, to, codec, idempotent }: ProduceCommand) {
    const producer = await this.#producer(idempotent)
    const compression = compressionOf[codec]
    if (compression === undefined) throw new Error(`no codec ${codec}`)
    let acknowledged = 0
    let wrongOffset: string | null = null
    const chunkRecords = set.shape === 'large' ? 1 : CHUNK_RECORDS
    for (let start = from; start < to; start += chunkRecords) {
      const end = Math.min(start + chunkRecords, to)
      const messages: Message[] = []
      for (let index = start; index < end; index++) {
        const { key, value, headers, timestampMs } = recordAt(set, index)
        const partition = index % set.partitions
        const timestamp = String(timestampMs)
        messages.push({ key, value, partition, headers: byName(headers), timestamp })
      }
      for (const answer of await producer.send({ topic, acks: -1, compression, messages })) {
        const firstIndex = messages.findIndex((message) => message.partition === answer.partition)
        const expected = offsetOf(set, start + firstIndex)
        if (answer.errorCode !== 0 || Number(answer.baseOffset) !== expected) {
          wrongOffset ??= `partition ${answer.partition}: ${answer.baseOffset} instead of ${expected}`
        }
      }
      acknowledged += messages.length
    }
    return { acknowledged, wrongOffset }
  }

  async consume(command: { topic: string; partition: number; fromOffset: number; count: number }) {
    const { topic, partition, fromOffset, count } = command
    const cluster = await this.#connectedCluster()
    await cluster.addTargetTopic(topic)
    const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]))
    if (nodeId === undefined) throw new Error(`partition ${partition} of ${topic} has no leader`)
    const broker = await cluster.findBroker({ nodeId })
    const digest = new RecordDigest()
    let offset = fromOffset
    for (let empty = 0; digest.count < count && empty < 5; ) {
      const response = await broker.fetch({
        maxWaitTime: 500,
        topics: [
          { topic, partitions: [{ partition, fetchOffset: String(offset), maxBytes: MAX_FETCH_BYTES }] },
        ],
      })
      const messages = response.responses[0]?.partitions[0]?.messages ?? []
      empty = messages.length === 0 ? empty + 1 : 0
      for (const message of messages) {
        // A fetch returns the whole batch that holds the offset, so it may start earlier.
        if (Number(message.offset) < offset || digest.count === count) continue
        const headers = Object.entries(message.headers).flatMap(([name, values]) =>
          [values].flat().map((value) => [name, value] as const),
        )
        digest.add(Number(message.offset), message.key, message.value, headers, Number(message.timestamp))
        offset = Number(message.offset) + 1
      }
    }
    return digest.end()
  }

  async offsetForTime(topic: string, partition: number, timestampMs: number): Promise<number> {
    const admin = await this.#connectedAdmin()
    const offsets = await admin.fetchTopicOffsetsByTimestamp(topic, timestampMs)
    return Number(offsets.find((entry) => entry.partition === partition)?.offset)
  }

  async transact({ topic, id, from, to, outcome, timeoutMs }: TransactCommand): Promise<void> {
    let producer = this.#transactional.get(id)
    if (producer === undefined) {
      producer = this.#kafka.producer({
        transactionalId: id,
        idempotent: true,
        maxInFlightRequests: 1,
        transactionTimeout: timeoutMs,
        createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
      })
      await producer.connect()
      this.#transactional.set(id, producer)
    }
    const transaction = await producer.transaction()
    const messages = Array.from({ length: to - from }, (_, index) => ({
      value: `${outcome} ${from + index}`,
      partition: 0,
    }))
    await transaction.send({ topic, acks: -1, messages })
    if (outcome === 'commit') await transaction.commit()
    if (outcome === 'abort') await transaction.abort()
  }

  async close(): Promise<void> {
    for (const producer of this.#transactional.values()) await producer.disconnect()
    for (const producer of this.#producers.values()) await producer.disconnect()
    await this.#admin?.disconnect()
    await this.#cluster?.disconnect()
  }

  /** One producer of each kind for the life of the worker, so that it lives through a restart of the broker. */
  async #producer(idempotent: boolean): Promise<Producer> {
    const known = this.#producers.get(idempotent)
    if (known !== undefined) return known
    const producer = this.#kafka.producer({
      idempotent,
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
      ...(idempotent ? { maxInFlightRequests: 1 } : {}),
    })
    await producer.connect()
    this.#producers.set(idempotent, producer)
    return producer
  }

  async #connectedAdmin(): Promise<Admin> {
    if (this.#admin === undefined) {
      this.#admin = this.#kafka.admin()
      await this.#admin.connect()
    }
    return this.#admin
  }

  async #connectedCluster(): Promise<Cluster> {
    // A restarted broker is a new connection for the cluster, which only its consumer would renew by itself.
    await this.#cluster?.disconnect()
    const symbol = Object.getOwnPropertySymbols(this.#kafka).find((key) =>
      key.description?.endsWith('createCluster'),
    )
    if (symbol === undefined) throw new Error('this version of kafkajs has no way to its cluster object')
    const createCluster = (this.#kafka as unknown as Record<symbol, (options: object) => Cluster>)[symbol]!
    this.#cluster = createCluster({ metadataMaxAge: 300_000 })
    await this.#cluster.connect()
    return this.#cluster
  }
}

await serve(new KafkajsClient())
