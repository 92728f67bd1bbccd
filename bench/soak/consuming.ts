/** Consumers that keep up and check: every offset comes, once and in its turn, in a batch that matches its CRC. */
import { connect, type GroupConsumer, type StreamBus } from '@streambus/client'
import { errorByCode, fetch } from '@streambus/protocol'
import { RawConnection } from '../wire/raw-connection.ts'
import type { BeginLoad, ConsumeJob } from './jobs.ts'
import { OffsetSequence } from './offset-sequence.ts'

const FETCH_VERSION = 12
const FETCH_BYTES = 4 * 1024 * 1024
/** Many batches at once cost less than one at a time. */
const MIN_FETCH_BYTES = 512 * 1024
const MAX_WAIT_MS = 200
const GROUP = 'soak'

export const consume: BeginLoad<ConsumeJob> = async ({ port, topics, inGroup }, fail) => {
  const readers: PartitionReader[] = []
  for (const { name, partitions } of topics) {
    for (let partition = 0; partition < partitions; partition++) {
      readers.push(await PartitionReader.open(port, name, partition))
    }
  }
  const bus = await connect(`127.0.0.1:${port}`)
  const member = new GroupReader(bus, inGroup.name)
  const finished = Promise.all([...readers, member].map((reader) => reader.run()))
  finished.catch(fail)
  return {
    takeFigures() {
      let bytes = 0
      let position = 0
      for (const reader of readers) {
        bytes += reader.bytes
        reader.bytes = 0
        position += reader.position
      }
      return { bytes, position, groupPosition: member.position }
    },
    async stop() {
      for (const reader of readers) reader.stop()
      await member.stop()
      await finished
      await bus.close()
    },
  }
}

class PartitionReader {
  bytes = 0
  readonly #connection: RawConnection
  readonly #topic: string
  readonly #partition: number
  readonly #sequence: OffsetSequence
  #isStopped = false

  private constructor(connection: RawConnection, topic: string, partition: number) {
    this.#connection = connection
    this.#topic = topic
    this.#partition = partition
    this.#sequence = new OffsetSequence(`${topic}-${partition}`)
  }

  static async open(port: number, topic: string, partition: number): Promise<PartitionReader> {
    return new PartitionReader(await RawConnection.open(port), topic, partition)
  }

  get position(): number {
    return this.#sequence.next
  }

  async run(): Promise<void> {
    while (!this.#isStopped) await this.#fetch()
    this.#connection.close()
  }

  stop(): void {
    this.#isStopped = true
  }

  async #fetch(): Promise<void> {
    const { responses, errorCode } = await this.#connection.request(fetch, FETCH_VERSION, {
      replicaId: -1,
      maxWaitMs: MAX_WAIT_MS,
      minBytes: MIN_FETCH_BYTES,
      maxBytes: FETCH_BYTES,
      isolationLevel: 0,
      sessionId: 0,
      sessionEpoch: -1,
      topics: [
        {
          topic: this.#topic,
          partitions: [
            {
              partition: this.#partition,
              currentLeaderEpoch: -1,
              fetchOffset: BigInt(this.#sequence.next),
              lastFetchedEpoch: -1,
              logStartOffset: -1n,
              partitionMaxBytes: FETCH_BYTES,
            },
          ],
        },
      ],
      forgottenTopicsData: [],
      rackId: '',
    })
    const partition = responses[0]?.partitions[0]
    const code = errorCode || (partition?.errorCode ?? 0)
    if (code !== 0 || partition === undefined) {
      const where = `${this.#topic}-${this.#partition} at offset ${this.#sequence.next}`
      throw new Error(`fetching ${where}: ${errorByCode(code).name}`)
    }
    this.bytes += this.#sequence.take(partition.records ?? new Uint8Array())
  }
}

/** A member of a group as programs have it, which commits. */
class GroupReader {
  readonly #sequence: OffsetSequence
  readonly #consumer: GroupConsumer

  constructor(bus: StreamBus, topic: string) {
    this.#consumer = bus.consumer(topic, { group: GROUP, from: 'earliest' })
    this.#sequence = new OffsetSequence(`${topic}-0`)
  }

  get position(): number {
    return this.#sequence.next
  }

  async run(): Promise<void> {
    for await (const { offset } of this.#consumer) this.#sequence.takeRecord(offset)
  }

  async stop(): Promise<void> {
    await this.#consumer.close()
  }
}
