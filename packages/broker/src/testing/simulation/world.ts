import {
  batchHeader,
  decodeRecords,
  encodeCoordinatorKey,
  encodeCoordinatorValue,
  encodeRecordBatch,
  transactionLogRecord,
} from '@streambus/protocol'
import { type LogId, MemoryLogStore, type Topic } from '@streambus/storage'
import { CONSUMER_OFFSETS, partitionOf, TRANSACTION_STATE } from '../../coordinator/internal-topics.ts'
import { Asked } from './asked.ts'
import { BrokerProcess } from './broker-process.ts'
import { DataLogs } from './data-logs.ts'
import { GroupReplica } from './group-replica.ts'
import { Network } from './network.ts'
import { Ownership } from './ownership.ts'
import { type Sabotage, sabotaged } from './sabotage.ts'
import { SeededRandom } from './seeded-random.ts'
import { type DiskFaults, SimulatedDisk } from './simulated-disk.ts'
import { check } from './simulation-failure.ts'
import { Trace } from './trace.ts'
import { TransactionReplica, TransactionStatus } from './transaction-replica.ts'
import { VirtualTime } from './virtual-time.ts'

export interface WorldOptions {
  readonly seed: number
  /** Events kept in words. */
  readonly traceLines: number
  /** The broker dies at these appends, counted over all its runs. */
  readonly crashAt?: ReadonlySet<number>
  /** What the disk gets wrong on purpose. */
  readonly sabotage?: Sabotage
}

/** Topics whose names begin so come and go. */
export const PASSING_TOPIC = 'passing'

/** So few in most runs that groups and transactional ids meet in one log; in the others the broker makes them. */
const INTERNAL_PARTITIONS = 2

/** How long a broker that died is away. */
const MAX_DOWN_MS = 2000
/** A broker that is closing has answered everything after so many looks, so far apart. */
const CLOSING_CHECKS = 200
const CLOSING_CHECK_MS = 50

/** Time, disk, network, the broker that runs at the moment, and what watches over all of it. */
export class World {
  readonly time = new VirtualTime()
  readonly random: SeededRandom
  readonly trace: Trace
  readonly network: Network
  readonly asked = new Asked()
  readonly groups: GroupReplica
  readonly transactions: TransactionReplica
  readonly data: DataLogs
  readonly ownership: Ownership
  readonly faults: DiskFaults = { full: false, refusal: 0, stall: 0, writeMs: 4, readMs: 3, sizeFactor: 1 }
  /** From here on nothing goes wrong any more, and everybody comes to an end. */
  isCalm = false
  readonly counts = new Map<string, number>()
  appends = 0
  brokerStarts = 0
  /** Chance that the broker dies at an append. */
  crashAtAppend = 0
  readonly #initialRebalanceDelayMs: number
  readonly #options: WorldOptions
  #durable!: MemoryLogStore
  #disk!: SimulatedDisk
  #broker: BrokerProcess | undefined
  #kinds = new Map<LogId, 'groups' | 'transactions' | 'data' | 'other'>()
  #names = 0
  #crashing = false

  private constructor(options: WorldOptions) {
    this.#options = options
    this.random = new SeededRandom(options.seed)
    this.#initialRebalanceDelayMs = this.random.pick([0, 3000])
    this.trace = new Trace(options.traceLines)
    this.network = new Network({
      time: this.time,
      random: this.random.fork(),
      trace: this.trace,
      server: () => this.#broker?.serve,
    })
    this.transactions = new TransactionReplica(this.asked, (producerId) => {
      this.data.complete(producerId)
    })
    this.data = new DataLogs(this.transactions.decisions)
    this.groups = new GroupReplica(this.asked, (metadata, committed) => {
      this.data.offsetsEnded(metadata.slice(0, metadata.indexOf(':')), committed)
    })
    this.ownership = new Ownership(this.groups)
  }

  static async make(options: WorldOptions): Promise<World> {
    const world = new World(options)
    world.#durable = await MemoryLogStore.open({
      clock: () => world.time.nowMs(),
      newId: () => world.newKafkaId(),
    })
    if (world.random.chance(0.85)) {
      const configs = { 'cleanup.policy': 'compact' }
      for (const name of [CONSUMER_OFFSETS, TRANSACTION_STATE]) {
        await world.#durable.createTopic({ name, partitions: INTERNAL_PARTITIONS, configs })
      }
    }
    await world.#start()
    return world
  }

  /** What is durable, as it lies there. */
  get durable(): MemoryLogStore {
    return this.#durable
  }

  get broker(): BrokerProcess | undefined {
    return this.#broker
  }

  /** A name nobody else has. */
  newName(prefix: string): string {
    return `${prefix}${++this.#names}`
  }

  /** As Kafka writes ids, and reproducible. */
  newKafkaId(): string {
    const bytes = Buffer.alloc(16)
    for (let at = 0; at < 12; at += 2) bytes.writeUInt16BE(this.random.between(0, 0xffff), at)
    bytes.writeUInt32BE(++this.#names, 12)
    // Kafka's tools would read an id that begins with '-' as an option.
    bytes[0]! &= 0x7f
    return bytes.toString('base64url')
  }

  /** From now on all goes well. */
  calmDown(): void {
    this.note(() => 'calm')
    this.isCalm = true
    // A clock that went back makes up for it, or what ends at a time would have to wait for it.
    this.time.skewMs = Math.max(this.time.skewMs, this.groups.latestMs - this.time.nowMs() + this.time.skewMs)
    this.crashAtAppend = 0
    Object.assign(this.network.faults, { lostRequest: 0, lostResponse: 0, duplicate: 0, slow: 0 })
    Object.assign(this.faults, { full: false, refusal: 0, stall: 0, writeMs: 4, readMs: 3 })
  }

  /** Counts that something happened that a simulation is there for. */
  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1)
  }

  note(words: () => string): void {
    this.trace.add(this.time.elapsedMs, null, words)
  }

  /** A transactional id that was used for long: its epochs are nearly used up. */
  async giveEpoch(transactionalId: string, producerEpoch: number): Promise<void> {
    const topic = this.topic(TRANSACTION_STATE)
    if (topic === undefined) return
    const { first } = await this.#durable.allocateProducerIds(1)
    const nowMs = BigInt(this.time.nowMs())
    const bytes = encodeRecordBatch([
      {
        key: encodeCoordinatorKey(transactionLogRecord, { transactionalId }),
        value: encodeCoordinatorValue(transactionLogRecord, 1, {
          producerId: BigInt(first),
          producerEpoch,
          transactionTimeoutMs: 60_000,
          transactionStatus: TransactionStatus.EMPTY,
          transactionPartitions: null,
          transactionLastUpdateTimestampMs: nowMs,
          transactionStartTimestampMs: -1n,
        }),
        timestamp: nowMs,
      },
    ])
    const logId = topic.logs[partitionOf(transactionalId, topic.logs.length)]!
    const [result] = await this.#durable.append([{ logId, bytes }])
    if (result!.error !== null) throw result!.error
    this.#written(logId, bytes, result!.baseOffset)
  }

  /** The topic as clients know it from the broker's metadata. */
  topic(name: string): Topic | undefined {
    return this.#durable.topics.byName(name)
  }

  /** The name of the topic; its id where the name may mean several topics over time. */
  topicName(id: string): string {
    const topic = this.#durable.topics.byId(id)
    return topic === undefined || topic.name.startsWith(PASSING_TOPIC) ? id : topic.name
  }

  /** Whether the topic was deleted. */
  isGone(topicId: string): boolean {
    return this.#durable.topics.byId(topicId) === undefined
  }

  /** The reverse of `topicName`. */
  topicId(name: string): string {
    return this.topic(name)?.id ?? name
  }

  /** The process dies, and comes up again some time later. */
  async crash(why: string): Promise<void> {
    const broker = this.#broker
    if (broker === undefined) return
    this.#broker = undefined
    this.count('deaths of the broker')
    this.note(() => `the broker dies: ${why}`)
    broker.kill()
    await this.#disk.crash()
    this.network.forgetUnanswered()
    this.asked.restarted()
    await this.#comeUpAgain()
  }

  /** The broker is stopped as an operator stops it. */
  async restart(): Promise<void> {
    const broker = this.#broker
    if (broker === undefined) return
    this.#broker = undefined
    this.count('stops of the broker')
    this.note(() => 'the broker is stopped')
    broker.close()
    this.network.endWaits()
    await this.#disk.close()
    for (let left = CLOSING_CHECKS; left > 0 && this.network.unanswered.size > 0; left--) {
      await this.time.sleep(CLOSING_CHECK_MS)
    }
    broker.kill()
    await this.#disk.crash()
    const [unanswered] = this.network.unanswered.values()
    check(unanswered === undefined, () => `the broker closed without an answer to ${unanswered?.words}`)
    this.asked.restarted()
    await this.#comeUpAgain()
  }

  /** A write fails: the broker can only be restarted. */
  async failWriter(): Promise<void> {
    if (this.#broker === undefined) return
    this.count('failed writes')
    this.note(() => 'a write of the disk fails')
    this.asked.writerFailed()
    this.#disk.failWriter()
    await this.time.sleep(this.random.next() * MAX_DOWN_MS)
    await this.crash('its disk takes no writes')
  }

  async #comeUpAgain(): Promise<void> {
    await this.time.sleep(this.random.next() * MAX_DOWN_MS)
    await this.#start()
  }

  async #start(): Promise<void> {
    this.brokerStarts++
    this.note(() => 'a broker starts')
    this.#disk = new SimulatedDisk({
      durable: this.#durable,
      time: this.time,
      random: this.random.fork(),
      faults: this.faults,
      onWritten: (logId, bytes, baseOffset) => this.#written(logId, bytes, baseOffset),
      onAppend: () => this.#appendAsked(),
    })
    this.#broker = new BrokerProcess({
      store:
        this.#options.sabotage === undefined ? this.#disk : sabotaged(this.#disk, this.#options.sabotage),
      time: this.time,
      newId: () => this.newName('id-'),
      initialRebalanceDelayMs: this.#initialRebalanceDelayMs,
      log: (level, words) => {
        this.count(words.replace(/:.*/s, ''))
        this.note(() => `${level}: ${words}`)
      },
    })
  }

  #appendAsked(): void {
    this.appends++
    const dies =
      this.#options.crashAt?.has(this.appends) ||
      (!this.isCalm && this.crashAtAppend > 0 && this.random.chance(this.crashAtAppend))
    if (!dies || this.#crashing) return
    this.#crashing = true
    const append = this.appends
    this.time.after(this.random.pick([0, 0, 1, 4]), () => {
      this.#crashing = false
      this.time.background(this.crash(`at append ${append}`))
    })
  }

  #written(logId: LogId, bytes: Uint8Array, baseOffset: number): void {
    const kind = this.#kindOf(logId)
    this.trace.add(this.time.elapsedMs, null, () => `durable in ${kind} log ${logId}: offset ${baseOffset}`)
    if (kind === 'other') return
    const records = decodeRecords(bytes)
    if (kind === 'data') {
      this.data.batch(logId, records, baseOffset, batchHeader.producerEpoch(bytes, 0))
    } else if (kind === 'transactions') {
      this.transactions.batch(records)
    } else if (records.isControl) {
      this.groups.markers(records)
    } else this.groups.batch(records, baseOffset, this.time.nowMs())
  }

  #kindOf(logId: LogId): 'groups' | 'transactions' | 'data' | 'other' {
    let kind = this.#kinds.get(logId)
    if (kind === undefined) {
      const topic = [...this.#durable.topics.all()].find(({ logs }) => logs.includes(logId))
      if (topic === undefined) return 'other'
      kind =
        topic.name === CONSUMER_OFFSETS
          ? 'groups'
          : topic.name === TRANSACTION_STATE
            ? 'transactions'
            : topic.name.startsWith('data-')
              ? 'data'
              : 'other'
      this.#kinds.set(logId, kind)
    }
    return kind
  }
}
