import { LocalLogStore, type LocalLogStoreOptions } from '../local/local-log-store.ts'
import type { AppendResult } from '../log-store.ts'
import { accepted, batchOf, markerOf } from './batches.ts'
import { check } from './crash-failure.ts'
import { CrashModel, type ModelLog, type ModelTopic, noteSent, type SentBatch } from './crash-model.ts'
import type { TransactionPart } from './crash-transactions.ts'
import type { SimulatedFileSystem } from './simulated-file-system.ts'

/**
 * A store that does what a script says, step by step, on a disk that does not fail but may crash at any moment,
 * and a model that is told of each answer. What a script asks for must be answered well, or never.
 */
const DATA_DIR = '/data'
const START_MS = 1_700_000_000_000

export type ScriptOptions = Pick<
  LocalLogStoreOptions,
  'durability' | 'cacheBytes' | 'fileBytes' | 'indexCacheBytes' | 'prepareFiles'
>

export class ScriptedStore {
  readonly model = new CrashModel()
  readonly #options: ScriptOptions
  #fileSystem: SimulatedFileSystem
  #store!: LocalLogStore
  #nowMs = START_MS
  #numbers = 0

  constructor(fileSystem: SimulatedFileSystem, options: ScriptOptions) {
    this.#fileSystem = fileSystem
    this.#options = options
  }

  async open(): Promise<void> {
    this.#store = await LocalLogStore.open({
      dataDir: DATA_DIR,
      fileSystem: this.#fileSystem,
      clock: () => ++this.#nowMs,
      newId: () => Buffer.from(String(++this.#numbers).padStart(16, '0')).toString('base64url'),
      ...this.#options,
    })
  }

  async close(): Promise<void> {
    await this.#store.close()
    const { openHandles } = this.#fileSystem
    check(openHandles === 0, () => `${openHandles} files are open after the close`)
  }

  /** The process is gone; another one will open what the disk kept. */
  restartOn(fileSystem: SimulatedFileSystem, mayHaveGoneBack: boolean): void {
    this.#fileSystem = fileSystem
    this.model.mayHaveGoneBack ||= mayHaveGoneBack
    this.model.settleUnknown()
  }

  /** Compares; sends again what was not answered, as its producers would; writes more, and compares again. */
  async verify(): Promise<void> {
    await this.model.compare(this.#store)
    for (const topic of this.model.topics.values()) {
      for (const log of topic.logs) {
        for (const { batch, bytes } of [...log.producer.unacknowledged]) {
          await this.#sendIdempotent(log, batch, bytes)
        }
        await this.append([log], 10)
      }
    }
    await this.model.compare(this.#store)
  }

  async createTopic(name: string, partitions: number): Promise<ModelTopic> {
    const topic: ModelTopic = {
      name,
      id: null,
      state: 'creating',
      logs: [],
      partitionsAtMost: partitions,
      setting: 0,
      settingAtMost: 0,
    }
    this.model.topics.set(name, topic)
    const created = await this.#store.createTopic({ name, partitions, configs: { setting: '0' } })
    topic.id = created.id
    topic.logs = created.logs.map((id) => this.model.newLog(id))
    topic.state = 'there'
    return topic
  }

  async deleteTopic(topic: ModelTopic): Promise<void> {
    topic.state = 'deleting'
    await this.#store.deleteTopic(topic.id!)
    this.model.forgetTopic(topic)
  }

  async createPartition(topic: ModelTopic): Promise<void> {
    const partitions = ++topic.partitionsAtMost
    const { logs } = await this.#store.createPartitions(topic.id!, partitions)
    for (const id of logs.slice(topic.logs.length)) topic.logs.push(this.model.newLog(id))
  }

  async configure(topic: ModelTopic): Promise<void> {
    const setting = ++topic.settingAtMost
    await this.#store.configureTopic(topic.id!, { setting: String(setting) })
    topic.setting = setting
  }

  /** One batch to each of the logs, in one call. */
  async append(logs: readonly ModelLog[], valueBytes: number): Promise<void> {
    const sent = logs.map((log) => {
      const { batch, values } = this.#newBatch(log, null, valueBytes)
      batch.mayBeMissing = logs.length > 1
      return { log, batch, bytes: batchOf(values) }
    })
    const results = await this.#store.append(sent.map(({ log, bytes }) => ({ logId: log.id, bytes })))
    for (const [index, { log, batch }] of sent.entries()) this.#acknowledge(log, batch, results[index])
  }

  /** A batch of the log's producer, sent `times` times at once. */
  async produce(log: ModelLog, valueBytes: number, times = 1): Promise<void> {
    const { producer } = log
    const { batch, values } = this.#newBatch(log, null, valueBytes)
    const { producerId, epoch: producerEpoch, nextSequence: baseSequence } = producer
    const bytes = batchOf(values, { producerId, producerEpoch, baseSequence })
    producer.nextSequence += values.length
    producer.unacknowledged.push({ batch, bytes })
    const sendings = Array.from({ length: times }, () => this.#sendIdempotent(log, batch, bytes))
    await Promise.all(sendings)
  }

  /** A transaction of one batch and its end; null leaves it open. */
  async transact(log: ModelLog, valueBytes: number, end: 'commit' | 'abort' | null): Promise<void> {
    const producer = log.transactions.producers[end === null ? 1 : 0]!
    const { producerId, epoch: producerEpoch, nextSequence: baseSequence } = producer
    const transaction = { commitSent: false }
    const { batch, values } = this.#newBatch(log, { producerId, kind: 'records', transaction }, valueBytes)
    producer.nextSequence += values.length
    const options = { producerId, producerEpoch, baseSequence, transactional: true }
    await this.#appendOne(log, batch, batchOf(values, options))
    if (end === null) return
    transaction.commitSent = end === 'commit'
    const coordinatorEpoch = ++this.#numbers
    const marker = noteSent(log, `m${coordinatorEpoch}`, 1, ++this.#numbers, {
      producerId,
      kind: end,
      transaction,
    })
    await this.#appendOne(log, marker, markerOf(end, { producerId, producerEpoch }, { coordinatorEpoch }))
  }

  async advanceStart(log: ModelLog, to: number): Promise<void> {
    log.startAtMost = Math.max(log.startAtMost, to)
    log.start = (await this.#store.advanceStart(log.id, to)).startOffset
  }

  async claim(log: ModelLog): Promise<void> {
    const { epoch } = await this.#store.claim(log.id)
    check(epoch > log.ownerEpoch, () => `owner epoch ${epoch} follows ${log.ownerEpoch}`)
    log.ownerEpoch = epoch
  }

  async allocateProducerIds(): Promise<void> {
    const { first, count } = await this.#store.allocateProducerIds(5)
    check(first >= this.model.producerIdsBelow, () => `producer id ${first} was given out before`)
    this.model.producerIdsBelow = first + count
  }

  async maintain(): Promise<void> {
    await this.#store.maintain({ maxBytes: 1e9 })
  }

  #newBatch(
    log: ModelLog,
    part: TransactionPart | null,
    valueBytes: number,
  ): { batch: SentBatch; values: string[] } {
    const label = `b${++this.#numbers}`
    const values = [0, 1].map((index) => `${label}/${index}/`.padEnd(valueBytes, '.'))
    return { batch: noteSent(log, label, values.length, ++this.#numbers, part), values }
  }

  async #sendIdempotent(log: ModelLog, batch: SentBatch, bytes: Uint8Array): Promise<void> {
    if (batch.state === 'refused') {
      batch.order = ++this.#numbers
      batch.state = 'pending'
    }
    const wasThere = batch.state === 'acknowledged'
    const [result] = await this.#store.append([{ logId: log.id, bytes }])
    const { duplicate, baseOffset } = accepted(result)
    check(duplicate || !wasThere, () => `batch ${batch.label} was there and was written again`)
    this.model.acknowledge(log, batch, baseOffset)
    const { unacknowledged } = log.producer
    const at = unacknowledged.findIndex((sent) => sent.batch === batch)
    if (at >= 0) unacknowledged.splice(at, 1)
  }

  async #appendOne(log: ModelLog, batch: SentBatch, bytes: Uint8Array): Promise<void> {
    const [result] = await this.#store.append([{ logId: log.id, bytes }])
    this.#acknowledge(log, batch, result)
  }

  #acknowledge(log: ModelLog, batch: SentBatch, result: AppendResult | undefined): void {
    this.model.acknowledge(log, batch, accepted(result).baseOffset)
  }
}
