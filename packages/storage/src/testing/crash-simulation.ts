import { LocalLogStore, type LocalLogStoreOptions } from '../local/local-log-store.ts'
import type { AppendResult, KeepingPolicy, RecordBytes, StorageError } from '../log-store.ts'
import { batchOf, bytesOf, readLog, recordsIn } from './batches.ts'
import { check, SimulationFailure } from './crash-failure.ts'
import {
  CrashModel,
  type ModelLog,
  type ModelProducer,
  type ModelTopic,
  type SentBatch,
} from './crash-model.ts'
import { planTransaction, type TransactionPart } from './crash-transactions.ts'
import { readCommitted } from './read-committed.ts'
import { SeededRandom } from './seeded-random.ts'
import { SimulatedFileSystem } from './simulated-file-system.ts'

/**
 * Runs the local engine on a simulated disk through random work, faults, crashes and restarts, and compares it
 * with a model after every start:
 *
 * - Every acknowledged batch is at its offset with its content, exactly once, without a gap in the offsets.
 * - A batch that was refused with a known outcome is nowhere. One whose outcome is not known is there wholly
 *   or not at all; and of the batches sent to a log, none is there before which one is missing.
 * - A retry of an idempotent producer finds the original if it was there, and is written once if not.
 * - Last stable offset, aborted transactions and what a consumer of committed records gets are those of the
 *   batches and markers in the log; no record is ever committed before its commit marker was sent.
 * - Topics, settings, log starts, owner epochs and producer ids are those acknowledged, or later ones.
 * - A full disk refuses appends and nothing else; after a failed write every append is refused, and reads go on.
 *
 * The seed decides everything, so that a failure can be run again.
 */
export interface SimulationOutcome {
  /** Every operation on the disk, over all restarts. */
  readonly trace: readonly string[]
  /** How often interesting things came about. */
  readonly counts: Readonly<Record<string, number>>
}

const DATA_DIR = '/data'
const START_MS = 1_700_000_000_000
const MAX_IN_FLIGHT = 5

/** Everything stays: what is scattered or sparse is worth merging. */
const lasting = (): KeepingPolicy => ({
  compaction: null,
  segmentBytes: Number.POSITIVE_INFINITY,
  segmentMs: Number.POSITIVE_INFINITY,
  retentionMs: Number.POSITIVE_INFINITY,
})

/** What ends a run of the store early. */
const CRASHED = Symbol('crashed')

class Simulation {
  readonly #random: SeededRandom
  readonly #trace: string[] = []
  readonly #model = new CrashModel()
  readonly #options: Omit<LocalLogStoreOptions, 'dataDir' | 'fileSystem' | 'clock'>
  #fileSystem: SimulatedFileSystem
  #nowMs = START_MS
  #order = 0
  #names = 0
  #ids = 0
  /** Answers that were not awaited when they were asked for, of the current run. */
  #outstanding: Promise<void>[] = []
  #failures: unknown[] = []
  /** Since a write failed in this run. */
  #writerFailed = false
  #mayFail = false
  readonly #openReads: { log: ModelLog; records: RecordBytes; pieces: Uint8Array[] }[] = []

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
    this.#fileSystem = new SimulatedFileSystem(this.#random)
    const random = this.#random
    this.#options = {
      durability: random.chance(0.8) ? 'fsync' : 'os',
      cacheBytes: random.pick([48, 64, 256]) * 1024,
      fileBytes: random.pick([24, 48, 128]) * 1024,
      indexCacheBytes: random.pick([0, 200, 100_000]),
      prepareFiles: random.pick(['small-groups', 'never', 'always'] as const),
    }
  }

  async run(): Promise<SimulationOutcome> {
    const runs = this.#random.between(2, 4)
    for (let run = 0; run < runs; run++) await this.#runStore(run === runs - 1)
    return { trace: this.#trace, counts: this.#model.counts }
  }

  async #runStore(isLast: boolean): Promise<void> {
    const random = this.#random
    const fileSystem = this.#fileSystem
    this.#outstanding = []
    this.#writerFailed = false
    this.#mayFail = false
    for (const { records } of this.#openReads.splice(0)) records.close()
    // Short ones hit the start and the recovery.
    if (!isLast) fileSystem.crashAfter(random.pick([0, 30, 100, 200, 400]) + random.below(100))
    const crash = fileSystem.crashed.then(() => CRASHED)
    const outcome = await Promise.race([this.#useStore(), crash])
    if (this.#failures.length > 0) throw this.#failures[0]
    while (fileSystem.pendingCount > 0 && !fileSystem.isCrashed) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    this.#trace.push(...fileSystem.trace)
    if (!fileSystem.isCrashed) {
      check(fileSystem.openHandles === 0, () => `${fileSystem.openHandles} files are open after the close`)
    }
    this.#model.count(outcome === CRASHED ? 'crashes' : 'clean closes')
    const power = random.chance(0.7)
    this.#fileSystem = fileSystem.restart(power, random.chance(0.3))
    this.#model.mayHaveGoneBack ||= power && this.#options.durability === 'os'
    this.#model.settleUnknown()
  }

  async #useStore(): Promise<void> {
    const fileSystem = this.#fileSystem
    const store = await this.#open().catch((error: StorageError) => {
      if (error.code !== 'DISK_FULL') throw error
      this.#model.count('starts without room')
      this.#fileSystem.liftLimit()
      return this.#open()
    })
    await this.#model.compare(store)
    await this.#work(store)
    fileSystem.liftLimit()
    await Promise.all(this.#outstanding)
    await aliveOn(fileSystem)
    if (!this.#writerFailed && !this.#mayFail) await this.#checkThatWritingWorks(store, fileSystem)
    await this.#finishReads()
    const { durability } = store
    await store.close().catch((error: StorageError) => {
      const isExpected = error.code === 'WRITER_FAILED' && this.#mayFail
      check(isExpected, () => `the close failed: ${error.stack}`)
      this.#model.count('failed closes')
      // What was only with the operating system may be lost, and the answer says so.
      check(durability === 'fsync' || error.inDoubt, () => 'a failed sync leaves nothing in doubt')
    })
  }

  #open(): Promise<LocalLogStore> {
    return LocalLogStore.open({
      dataDir: DATA_DIR,
      fileSystem: this.#fileSystem,
      clock: () => ++this.#nowMs,
      newId: () => this.#newId(),
      ...this.#options,
    })
  }

  // Work

  async #work(store: LocalLogStore): Promise<void> {
    const random = this.#random
    const fileSystem = this.#fileSystem
    const steps = random.between(20, 150)
    for (let step = 0; step < steps; step++) {
      await aliveOn(fileSystem)
      await this.#act(store)
      if (this.#failures.length > 0) return
      // Sometimes much comes in at once, sometimes each thing is waited for.
      if (random.chance(0.4)) await new Promise((resolve) => setImmediate(resolve))
      if (random.chance(0.1)) await Promise.all(this.#outstanding)
    }
  }

  async #act(store: LocalLogStore): Promise<void> {
    const random = this.#random
    const log = this.#anyLog()
    const choice = random.below(100)
    if (log === null || choice < 4) return this.#background(this.#createTopic(store))
    if (choice < 25) return this.#background(this.#append(store, random.between(1, 3)))
    if (choice < 42) return this.#background(this.#produce(store, log))
    if (choice < 67) return this.#background(this.#transact(store, log))
    if (choice < 73) return this.#readSomething(store, log)
    if (choice < 75) return this.#readCommitted(store, log)
    if (choice < 78) return this.#continueRead()
    if (choice < 80) return this.#background(this.#deleteTopic(store))
    if (choice < 82) return this.#background(this.#createPartitions(store))
    if (choice < 84) return this.#background(this.#configure(store))
    if (choice < 88) return this.#background(this.#advanceStart(store, log))
    if (choice < 90) return this.#background(this.#claim(store, log))
    if (choice < 92) return this.#background(this.#allocate(store))
    if (choice < 94)
      return this.#background(
        this.#change(
          store.maintain({ maxBytes: random.pick([1, 1e9]) }, random.chance(0.7) ? lasting : undefined),
        ),
      )
    if (choice < 96) {
      this.#model.count('disk full')
      return this.#fileSystem.limitRoom(random.pick([0, 4096, 20_000, 60_000]))
    }
    if (choice < 99) return this.#fileSystem.liftLimit()
    if (random.chance(0.3)) {
      this.#mayFail = true
      this.#fileSystem.failOne(random.pick(['write', 'write', 'sync']), random.between(1, 5))
    }
  }

  /** Goes on beside everything else; a failed check ends the simulation. */
  #background(work: Promise<unknown>): void {
    this.#outstanding.push(
      work.then(
        () => {},
        (error: unknown) => {
          this.#failures.push(error)
        },
      ),
    )
  }

  #anyTopic(): ModelTopic | null {
    const topics = [...this.#model.topics.values()].filter(({ state }) => state === 'there')
    return topics.length === 0 ? null : this.#random.pick(topics)
  }

  #anyLog(): ModelLog | null {
    const topic = this.#anyTopic()
    return topic === null ? null : this.#random.pick(topic.logs)
  }

  /** The change's result; null when the store could not write, which only faults allow. */
  async #change<T>(change: Promise<T>): Promise<T | null> {
    try {
      return await change
    } catch (error) {
      this.#checkRefusal(error as StorageError)
      return null
    }
  }

  #checkRefusal(error: StorageError): void {
    this.#model.count(error.code)
    if (error.code === 'DISK_FULL') {
      check(!error.inDoubt, () => 'DISK_FULL leaves in doubt what was written')
      return
    }
    if (error.code === 'MAINTENANCE_FAILED' && this.#mayFail) return
    if (error.code === 'WRITER_FAILED' && this.#mayFail) {
      this.#writerFailed = true
      return
    }
    // Work that was under way on a topic when it was deleted.
    if (error.code === 'UNKNOWN_LOG' || error.code === 'UNKNOWN_TOPIC') return
    throw new SimulationFailure(`refused without reason: ${error.stack}`)
  }

  async #createTopic(store: LocalLogStore): Promise<void> {
    const name = `topic-${this.#names++}`
    const partitions = this.#random.between(1, 3)
    const topic: ModelTopic = {
      name,
      id: null,
      state: 'creating',
      logs: [],
      partitionsAtMost: partitions,
      setting: 0,
      settingAtMost: 0,
    }
    this.#model.topics.set(name, topic)
    const created = await this.#change(store.createTopic({ name, partitions, configs: { setting: '0' } }))
    if (created === null) {
      if (!this.#writerFailed) this.#model.topics.delete(name)
      return
    }
    topic.id = created.id
    topic.logs = created.logs.map((id) => this.#model.newLog(id))
    topic.state = 'there'
  }

  #newId(): string {
    const bytes = Buffer.alloc(16)
    bytes.writeUInt32BE(++this.#ids)
    return bytes.toString('base64url')
  }

  async #deleteTopic(store: LocalLogStore): Promise<void> {
    const topic = this.#anyTopic()
    if (topic === null) return
    topic.state = 'deleting'
    let deleted = false
    await this.#change(
      store.deleteTopic(topic.id!).then(() => {
        deleted = true
      }),
    )
    if (deleted) this.#model.forgetTopic(topic)
    // A disk that is full has certainly not deleted it.
    else if (!this.#writerFailed) topic.state = 'there'
  }

  async #createPartitions(store: LocalLogStore): Promise<void> {
    const topic = this.#anyTopic()
    if (topic === null) return
    const partitions = topic.partitionsAtMost + 1
    topic.partitionsAtMost = partitions
    const changed = await this.#change(store.createPartitions(topic.id!, partitions))
    if (changed === null) return
    for (const id of changed.logs.slice(topic.logs.length)) topic.logs.push(this.#model.newLog(id))
  }

  async #configure(store: LocalLogStore): Promise<void> {
    const topic = this.#anyTopic()
    if (topic === null) return
    const setting = ++topic.settingAtMost
    const changed = await this.#change(store.configureTopic(topic.id!, { setting: String(setting) }))
    if (changed !== null) topic.setting = setting
  }

  async #advanceStart(store: LocalLogStore, log: ModelLog): Promise<void> {
    const [state] = await store.state([log.id])
    if (state === undefined) return
    const to = this.#random.between(log.start, state.highWatermark)
    log.startAtMost = Math.max(log.startAtMost, to)
    const start = await this.#change(store.advanceStart(log.id, to))
    if (start === null) return
    check(start >= to, () => `log ${log.id} starts at ${start} after it was advanced to ${to}`)
    log.start = Math.max(log.start, start)
  }

  async #claim(store: LocalLogStore, log: ModelLog): Promise<void> {
    const before = log.ownerEpoch
    const owner = await this.#change(store.claim(log.id))
    if (owner === null) return
    check(owner.epoch > before, () => `owner epoch ${owner.epoch} follows ${before}`)
    log.ownerEpoch = Math.max(log.ownerEpoch, owner.epoch)
  }

  async #allocate(store: LocalLogStore): Promise<void> {
    const range = await this.#change(store.allocateProducerIds(this.#random.between(1, 10)))
    if (range === null) return
    const { first, count } = range
    check(first >= this.#model.producerIdsBelow, () => `producer id ${first} was given out before`)
    this.#model.producerIdsBelow = first + count
  }

  #newBatch(log: ModelLog, part: TransactionPart | null = null): { batch: SentBatch; values: string[] } {
    const label = `b${this.#names++}`
    const recordCount = this.#random.between(1, 3)
    const padding = '.'.repeat(this.#random.pick([0, 50, 1000, 1000, 3000]))
    const values = Array.from({ length: recordCount }, (_, index) => `${label}/${index}/${padding}`)
    return { batch: this.#sent(log, label, recordCount, part), values }
  }

  #sent(log: ModelLog, label: string, recordCount: number, part: TransactionPart | null): SentBatch {
    const batch: SentBatch = {
      label,
      recordCount,
      order: ++this.#order,
      mayBeMissing: false,
      unanswered: [],
      state: 'pending',
      part,
      offset: null,
    }
    log.batches.set(label, batch)
    return batch
  }

  async #append(store: LocalLogStore, count: number): Promise<void> {
    const sent: { log: ModelLog; batch: SentBatch; bytes: Uint8Array }[] = []
    for (let index = 0; index < count; index++) {
      const log = this.#anyLog()
      if (log === null) return
      const { batch, values } = this.#newBatch(log)
      batch.mayBeMissing = count > 1
      sent.push({ log, batch, bytes: batchOf(values) })
    }
    const hadFailed = this.#writerFailed
    const call = store.append(sent.map(({ log, bytes }) => ({ logId: log.id, bytes })))
    for (const { bytes } of sent) bytes.fill(0xff)
    const results = await call
    for (const [index, { log, batch }] of sent.entries()) {
      const result = results[index]!
      if (hadFailed) this.#checkRefusedForGood(result)
      this.#settle(log, batch, result)
    }
  }

  #checkRefusedForGood(result: AppendResult): void {
    check(
      result.error?.code === 'WRITER_FAILED' && !result.error.inDoubt,
      () => `after a failed write an append got ${JSON.stringify(result)}`,
    )
  }

  #settle(log: ModelLog, batch: SentBatch, result: AppendResult): void {
    if (result.error !== null) {
      this.#checkRefusal(result.error)
      batch.state = result.error.inDoubt ? 'unknown' : 'refused'
      return
    }
    check(!result.duplicate, () => `batch ${batch.label} was new and is called a duplicate`)
    this.#model.acknowledge(log, batch, result.baseOffset)
  }

  /** What a client's idempotent producer does: up to five batches in flight, and retries in order. */
  async #produce(store: LocalLogStore, log: ModelLog): Promise<void> {
    const { producer } = log
    if (producer.mustResend) {
      if (producer.inFlight > 0) return
      producer.mustResend = false
      const again = [...producer.unacknowledged]
      await Promise.all(again.map((sent) => this.#sendIdempotent(store, log, sent, true)))
      return
    }
    if (producer.unacknowledged.length >= MAX_IN_FLIGHT) return
    if (producer.unacknowledged.length === 0 && producer.nextSequence > 0 && this.#random.chance(0.05)) {
      producer.epoch++
      producer.nextSequence = 0
    }
    const { batch, values } = this.#newBatch(log)
    const bytes = batchOf(values, {
      producerId: producer.producerId,
      producerEpoch: producer.epoch,
      baseSequence: producer.nextSequence,
    })
    producer.nextSequence += values.length
    const sent = { batch, bytes }
    producer.unacknowledged.push(sent)
    const calls = [this.#sendIdempotent(store, log, sent, false)]
    if (this.#random.chance(0.2)) calls.push(this.#sendIdempotent(store, log, sent, true))
    await Promise.all(calls)
  }

  async #sendIdempotent(
    store: LocalLogStore,
    log: ModelLog,
    sent: ModelProducer['unacknowledged'][number],
    isRetry: boolean,
  ): Promise<void> {
    const { producer } = log
    const { batch, bytes } = sent
    const hadFailed = this.#writerFailed
    const wasThere = batch.offset !== null
    const order = ++this.#order
    batch.unanswered.push(order)
    if (batch.state === 'refused') {
      batch.order = order
      batch.state = 'pending'
    }
    producer.inFlight++
    const [result] = await store.append([{ logId: log.id, bytes }])
    producer.inFlight--
    batch.unanswered.splice(batch.unanswered.indexOf(order), 1)
    if (hadFailed) this.#checkRefusedForGood(result!)
    if (result!.error !== null) {
      producer.mustResend = true
      // One before it was refused.
      if (result!.error.code !== 'OUT_OF_ORDER_SEQUENCE') this.#checkRefusal(result!.error)
      if (result!.error.inDoubt || batch.state !== 'pending') {
        if (batch.state !== 'acknowledged') batch.state = 'unknown'
      } else if (batch.unanswered.length === 0) batch.state = 'refused'
      else batch.order = batch.unanswered[0]!
      return
    }
    if (wasThere) check(result!.duplicate, () => `batch ${batch.label} was there and was written again`)
    if (result!.duplicate) {
      this.#model.count('duplicates')
      check(isRetry, () => `batch ${batch.label} was sent once and is called a duplicate`)
    }
    this.#model.acknowledge(log, batch, result!.baseOffset)
    const at = producer.unacknowledged.indexOf(sent)
    if (at >= 0) producer.unacknowledged.splice(at, 1)
  }

  /** A transactional producer sends a few batches without waiting, and its coordinator perhaps the end. */
  async #transact(store: LocalLogStore, log: ModelLog): Promise<void> {
    const producer = this.#random.pick(log.transactions.producers)
    if (producer.isBusy) return
    producer.isBusy = true
    const sendings = planTransaction(producer, this.#random, {
      newBatch: (part) => this.#newBatch(log, part),
      newMarker: (part, coordinatorEpoch) => this.#sent(log, `m${coordinatorEpoch}`, 1, part),
      newCoordinatorEpoch: () => ++this.#names,
    })
    await Promise.all(
      sendings.map(async ({ batch, bytes }) => {
        const hadFailed = this.#writerFailed
        // Each in a call of its own: it is answered as soon as it is durable.
        const [result] = await store.append([{ logId: log.id, bytes }])
        if (hadFailed) this.#checkRefusedForGood(result!)
        const code = result!.error?.code
        if (result!.error !== null) producer.isBroken = true
        // One before it was refused.
        if (code === 'OUT_OF_ORDER_SEQUENCE' || code === 'INVALID_PRODUCER_EPOCH') batch.state = 'refused'
        else this.#settle(log, batch, result!)
      }),
    )
    producer.isBusy = false
  }

  /** Whatever happens at the moment: nothing is seen that may still be aborted. */
  async #readCommitted(store: LocalLogStore, log: ModelLog): Promise<void> {
    const [state] = await store.state([log.id])
    if (state === undefined) return
    const maxBytes = this.#random.pick([0, 5000, 1e9])
    const view = await readCommitted(store, log.id, state.logStartOffset, maxBytes).catch(
      ({ code }: StorageError) => {
        if (code !== 'UNKNOWN_LOG' && code !== 'OFFSET_OUT_OF_RANGE') {
          throw new SimulationFailure(`reading what is committed in log ${log.id} failed: ${code}`)
        }
        return null
      },
    )
    for (const { offset, value } of view?.records ?? []) {
      const part = log.batches.get(value.split('/')[0]!)!.part
      check(
        part === null || part.transaction.commitSent,
        () => `log ${log.id} shows ${offset} as committed, which it cannot be`,
      )
    }
    if (view !== null) this.#model.count('reads of what is committed')
  }

  async #readSomething(store: LocalLogStore, log: ModelLog): Promise<void> {
    const topicIsThere = () => [...this.#model.topics.values()].some((topic) => topic.logs.includes(log))
    const [state] = await store.state([log.id])
    if (state === undefined) return
    const offset = this.#random.between(state.logStartOffset, state.highWatermark)
    const maxBytes = this.#random.pick([0, 5000, 1e9])
    const [result] = await store.read([{ logId: log.id, offset, maxBytes }], { maxBytes })
    if (result!.error !== null) {
      const { code } = result!.error
      const isExpected =
        (code === 'UNKNOWN_LOG' && !topicIsThere()) ||
        code === 'UNKNOWN_LOG' ||
        (code === 'OFFSET_OUT_OF_RANGE' && log.startAtMost > offset)
      check(isExpected, () => `reading log ${log.id} at ${offset} failed: ${result!.error.stack}`)
      return
    }
    if (this.#writerFailed) this.#model.count('reads after a failed write')
    if (this.#random.chance(0.3)) {
      this.#openReads.push({ log, records: result!.records, pieces: [] })
      return
    }
    const found = recordsIn(await bytesOf(result!.records, this.#random.pick([100, 5000, 100_000])))
    if (offset < result!.highWatermark) {
      check(
        found.length > 0 && found[0]!.offset <= offset,
        () => `log ${log.id} has nothing at ${offset}, its end is ${result!.highWatermark}`,
      )
    }
    this.#model.checkContent(log, found)
  }

  /** A slow consumer takes the next piece of an answer it was given long ago. */
  async #continueRead(): Promise<void> {
    if (this.#openReads.length === 0) return
    const read = this.#random.pick(this.#openReads)
    const piece = new Uint8Array(this.#random.between(1, 3000))
    const count = await read.records.readInto(piece)
    read.pieces.push(piece.subarray(0, count))
    if (count > 0) return
    this.#openReads.splice(this.#openReads.indexOf(read), 1)
    read.records.close()
    this.#model.checkContent(read.log, recordsIn(Buffer.concat(read.pieces)))
  }

  async #finishReads(): Promise<void> {
    while (this.#openReads.length > 0) await this.#continueRead()
  }

  async #checkThatWritingWorks(store: LocalLogStore, fileSystem: SimulatedFileSystem): Promise<void> {
    for (const topic of this.#model.topics.values()) {
      if (topic.state !== 'there') continue
      for (const log of topic.logs) {
        await aliveOn(fileSystem)
        const { batch, values } = this.#newBatch(log)
        const send = () => store.append([{ logId: log.id, bytes: batchOf(values) }])
        let [result] = await send()
        // The change to another file had begun while there was no room, and failed only now.
        if (result!.error?.code === 'DISK_FULL') [result] = await send()
        if (this.#writerFailed) return
        check(result!.error === null, () => `there is room, but an append got ${result!.error?.stack}`)
        this.#settle(log, batch, result!)
        const [state] = await store.state([log.id])
        const { logStartOffset: start, highWatermark: end } = state!
        check(
          end === batch.offset! + values.length,
          () => `log ${log.id} ends at ${end}, not behind ${batch.offset}`,
        )
        await log.transactions.compare(store, await readLog(store, log.id, start), start, end)
      }
    }
  }
}

/** Resolves while the process lives; in a dead one nobody goes on. */
function aliveOn(fileSystem: SimulatedFileSystem): Promise<void> {
  return fileSystem.isCrashed ? new Promise(() => {}) : Promise.resolve()
}

export async function simulateCrashes(seed: number): Promise<SimulationOutcome> {
  return new Simulation(seed).run()
}
