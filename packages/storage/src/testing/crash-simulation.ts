import { LocalLogStore, type LocalLogStoreOptions } from '../local/local-log-store.ts'
import { type AppendResult, type KeepingPolicy, type LogStore, StorageError } from '../log-store.ts'
import { batchOf, readLog } from './batches.ts'
import { check, SimulationFailure } from './crash-failure.ts'
import {
  CrashModel,
  type ModelLog,
  type ModelProducer,
  type ModelTopic,
  noteSent,
  type SentBatch,
} from './crash-model.ts'
import { CrashReads } from './crash-reads.ts'
import { planTransaction, type TransactionPart } from './crash-transactions.ts'
import { SeededRandom } from './seeded-random.ts'
import { faultKinds, SimulatedFileSystem } from './simulated-file-system.ts'

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
 *   A failed read is answered, and the same read is right when the disk is. A start that failed has opened
 *   nothing and kept nothing locked.
 * - After a close the folder holds the log and what belongs to it, and nothing that a crash or a fault left.
 * - Where a bit of what is at rest has changed, the start or the reader of that batch says so, and everything
 *   else is as it was.
 *
 * The seed decides everything, so that a failure can be run again.
 */
export interface SimulationOutcome {
  /** Every operation on the disk, over all restarts. */
  readonly trace: readonly string[]
  /** How often interesting things came about. */
  readonly counts: Readonly<Record<string, number>>
  /** Faults of the disk that came about, by kind. */
  readonly faults: Readonly<Record<string, number>>
}

/** What a simulation had done when a check failed. */
export interface SimulationProgress {
  trace: readonly string[]
}

const DATA_DIR = '/data'
const START_MS = 1_700_000_000_000
const MAX_IN_FLIGHT = 5

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
  writerFailed = false
  /** A fault was asked for in this run. */
  mayFail = false
  readonly #faults: Record<string, number> = {}
  readonly #reads: CrashReads

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
    const random = this.#random
    this.#reads = new CrashReads(random, this.#model)
    this.#fileSystem = new SimulatedFileSystem(random, {
      sectorBytes: random.pick([512, 4096]),
      slowShare: random.pick([0, 0, 0.01, 0.1]),
      shortShare: random.pick([0, 0.2]),
    })
    this.#options = {
      durability: random.chance(0.8) ? 'fsync' : 'os',
      cacheBytes: random.pick([48, 64, 256]) * 1024,
      fileBytes: random.pick([24, 48, 128]) * 1024,
      indexCacheBytes: random.pick([0, 200, 100_000]),
      prepareFiles: random.pick(['small-groups', 'never', 'always'] as const),
    }
  }

  async run(): Promise<SimulationOutcome> {
    const runs = this.#random.between(2, 5)
    for (let run = 0; run < runs; run++) await this.#runStore(run === runs - 1)
    if (this.#random.chance(0.3)) await this.#damage()
    return { trace: this.#trace, counts: this.#model.counts, faults: this.#faults }
  }

  /** The last operations on the disk, for people. */
  get trace(): readonly string[] {
    return [...this.#trace, ...this.#fileSystem.trace]
  }

  /** After the last run, which closed. */
  async #damage(): Promise<void> {
    const fileSystem = this.#fileSystem
    const isMeant = (path: string) => !path.endsWith('/lock') && !path.endsWith('/reserve')
    const path = this.#random.chance(0.3)
      ? fileSystem.loseFile((candidate) => candidate.endsWith('.log'))
      : (fileSystem.flipBit(isMeant)?.path ?? null)
    // Without a clean mark, damage to the very last groups looks like a write that a crash tore.
    if (path === null || this.writerFailed || this.mayFail) return
    const crash = fileSystem.crashed.then(() => CRASHED)
    this.#model.count(await Promise.race([this.#checkDamage(path), crash]).then(String))
    this.#addFaults(fileSystem)
  }

  async #checkDamage(path: string): Promise<string> {
    let store: LocalLogStore
    try {
      store = await this.#open()
    } catch (error) {
      const { code } = error as StorageError
      check(
        code === 'DATA_DAMAGED' || code === 'DATA_NEWER_FORMAT',
        () => `damage to ${path} was refused as ${(error as Error).stack}`,
      )
      return 'damage refused at start'
    }
    const found = await this.#model.compareDamaged(store, path)
    await store.close()
    return found
  }

  async #runStore(isLast: boolean): Promise<void> {
    const random = this.#random
    const fileSystem = this.#fileSystem
    this.#outstanding = []
    // What a failed write left behind lies in the way of the first groups after the restart.
    const isShort = this.writerFailed && random.chance(0.7)
    this.writerFailed = false
    this.mayFail = false
    this.#reads.giveUp()
    if (random.chance(0.15)) this.#failSomething(20)
    // Short ones hit the start and the recovery.
    const within = isShort ? 30 : random.pick([0, 30, 100, 200, 400])
    if (!isLast) fileSystem.crashAfter(within + random.below(100))
    const crash = fileSystem.crashed.then(() => CRASHED)
    const outcome = await Promise.race([this.#useStore(), crash])
    if (this.#failures.length > 0) throw this.#failures[0]
    while (fileSystem.pendingCount > 0 && !fileSystem.isCrashed) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    this.#trace.push(...fileSystem.trace)
    this.#addFaults(fileSystem)
    if (!fileSystem.isCrashed) this.#checkClosed(fileSystem)
    this.#model.count(outcome === CRASHED ? 'crashes' : 'clean closes')
    const power = random.chance(0.7)
    this.#fileSystem = fileSystem.restart(power, random.chance(0.3))
    this.#model.mayHaveGoneBack ||= power && this.#options.durability === 'os'
    this.#model.settleUnknown()
  }

  #addFaults(fileSystem: SimulatedFileSystem): void {
    for (const [kind, count] of Object.entries(fileSystem.faults)) {
      this.#faults[kind] = (this.#faults[kind] ?? 0) + count
    }
  }

  #checkClosed(fileSystem: SimulatedFileSystem): void {
    check(fileSystem.openHandles === 0, () => `${fileSystem.openHandles} files are open after the close`)
    // Also in the start, which goes on without what could not be removed.
    if (this.mayFail || 'EIO on remove' in fileSystem.faults) return
    const strays = strayFiles(fileSystem.filesIn(DATA_DIR))
    check(strays.length === 0, () => `${strays.join(', ')} was left behind`)
  }

  async #useStore(): Promise<void> {
    const fileSystem = this.#fileSystem
    const store = await this.#openDespiteFaults()
    await this.#model.compare(store)
    await this.#work(store)
    fileSystem.liftLimit()
    await Promise.all(this.#outstanding)
    await aliveOn(fileSystem)
    if (!this.writerFailed && !this.mayFail) await this.#checkThatWritingWorks(store, fileSystem)
    await this.#reads.finish(this)
    const { durability } = store
    await store.close().catch((error: StorageError) => {
      const isExpected = error.code === 'WRITER_FAILED' && this.mayFail
      check(isExpected, () => `the close failed: ${error.stack}`)
      this.#model.count('failed closes')
      // What was only with the operating system may be lost, and the answer says so.
      check(durability === 'fsync' || error.inDoubt, () => 'a failed sync leaves nothing in doubt')
    })
  }

  /** The first start may be refused for what the disk does; the next ones find it in order. */
  async #openDespiteFaults(): Promise<LocalLogStore> {
    const fileSystem = this.#fileSystem
    try {
      return await this.#open()
    } catch (error) {
      const { code } = error as StorageError
      if (code === 'DISK_FULL') this.#model.count('starts without room')
      else {
        const isExpected = this.mayFail && Object.keys(fileSystem.faults).length > 0
        check(isExpected && code !== 'DATA_DAMAGED', () => `the start failed: ${(error as Error).stack}`)
        this.#model.count('starts on a failing disk')
      }
      check(fileSystem.openHandles === 0, () => `a failed start left ${fileSystem.openHandles} files open`)
      fileSystem.liftLimit()
      fileSystem.endFaults()
      return await this.#open()
    } finally {
      fileSystem.endFaults()
      this.mayFail = false
    }
  }

  #failSomething(withinOperations: number): void {
    this.mayFail = true
    // A failed write leaves most behind that a recovery could take for its own.
    const kind = this.#random.chance(0.4) ? 'write' : this.#random.pick(faultKinds)
    this.#fileSystem.failOne(kind, this.#random.between(1, withinOperations))
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
    if (choice < 73) return this.#reads.readSomething(store, log, this)
    if (choice < 75) return this.#reads.readCommitted(store, log, this)
    if (choice < 78) return this.#reads.goOn(this)
    if (choice < 80) return this.#background(this.#deleteTopic(store))
    if (choice < 82) return this.#background(this.#createPartitions(store))
    if (choice < 84) return this.#background(this.#configure(store))
    if (choice < 88) return this.#background(this.#advanceStart(store, log))
    if (choice < 90) return this.#background(this.#claim(store, log))
    if (choice < 92) return this.#background(this.#allocate(store))
    if (choice < 94) return this.#background(this.#maintain(store))
    if (choice < 96) {
      this.#model.count('disk full')
      return this.#fileSystem.limitRoom(random.below(16) * 4096, random.pick(['ENOSPC', 'EDQUOT']))
    }
    if (choice < 99) return this.#fileSystem.liftLimit()
    this.#failSomething(5)
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

  async #maintain(store: LocalLogStore): Promise<void> {
    const maxBytes = this.#random.pick([1, 1e9])
    const policy: KeepingPolicy = {
      compaction: null,
      segmentBytes: this.#random.pick([4, 16, 1000]) * 1024,
      segmentMs: this.#random.pick([20, 1e9]),
      retentionMs: this.#random.pick([0, 1e12, 1e12]),
      retentionBytes: this.#random.pick([20_000, 1e12, 1e12]),
    }
    const seam: LogStore = store
    await seam
      .maintain({ maxBytes }, () => policy)
      .catch((error: Error) => {
        // It is tried again with the next call.
        const isFull = error instanceof StorageError && error.code === 'DISK_FULL'
        check(this.mayFail || isFull, () => `the maintenance failed: ${error.stack}`)
        this.#model.count('failed maintenance')
      })
  }

  #checkRefusal(error: StorageError): void {
    this.#model.count(error.code)
    if (error.code === 'DISK_FULL') {
      check(!error.inDoubt, () => 'DISK_FULL leaves in doubt what was written')
      return
    }
    if (error.code === 'WRITER_FAILED' && this.mayFail) {
      this.writerFailed = true
      return
    }
    // A change that needs an index first; nothing of it was begun.
    if (error.code === 'READ_FAILED' && this.mayFail) return
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
      if (!this.writerFailed) this.#model.topics.delete(name)
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
    else if (!this.writerFailed) topic.state = 'there'
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
    const start = await this.#change(store.advanceStart(log.id, to).then(({ startOffset }) => startOffset))
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
    return { batch: noteSent(log, label, recordCount, ++this.#order, part), values }
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
    const hadFailed = this.writerFailed
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
    const hadFailed = this.writerFailed
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
      newMarker: (part, coordinatorEpoch) => noteSent(log, `m${coordinatorEpoch}`, 1, ++this.#order, part),
      newCoordinatorEpoch: () => ++this.#names,
    })
    await Promise.all(
      sendings.map(async ({ batch, bytes }) => {
        const hadFailed = this.writerFailed
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
        if (this.writerFailed) return
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

/** Anything but the log and what belongs to it: an index belongs to a log file. */
function strayFiles(paths: readonly string[]): string[] {
  return paths.filter((path) => {
    if (['checkpoint', 'lock', 'reserve'].some((name) => path === `${DATA_DIR}/${name}`)) return false
    if (path.endsWith('.index')) return !paths.includes(path.replace(/index$/, 'log'))
    return !/\.(log|segment)$/.test(path)
  })
}

/** @param progress is told what was done so far when a check fails */
export async function simulateCrashes(
  seed: number,
  progress?: SimulationProgress,
): Promise<SimulationOutcome> {
  const simulation = new Simulation(seed)
  try {
    return await simulation.run()
  } catch (error) {
    if (progress !== undefined) progress.trace = simulation.trace
    throw error
  }
}
