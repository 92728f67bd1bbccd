import { batchCrc, batchesIn, batchHeader, ProtocolError } from '@streambus/protocol'
import type { LocalLogStore } from '../local/local-log-store.ts'
import type { LogId, Offset, TopicId } from '../log-store.ts'
import { bytesOf, type FoundRecord, readLog, recordsIn } from './batches.ts'
import { check } from './crash-failure.ts'
import { ModelTransactions, placeOf, type TransactionPart } from './crash-transactions.ts'

/**
 * What a store must have after everything it was asked and has answered: the other side of the comparison in
 * `crash-simulation.ts`, which tells what is compared.
 */
type SentState = 'pending' | 'acknowledged' | 'unknown' | 'refused'

export interface SentBatch {
  readonly label: string
  readonly recordCount: number
  /** Order of sending; of a batch that was sent again, that of the first sending that was not refused. */
  order: number
  /**
   * It says nothing about those after it when it is missing: sent in one call with others, it may have been
   * refused before the crash came while the call waited for these; or a start could not tell whether it lay
   * before the start of its log.
   */
  mayBeMissing: boolean
  /** Orders of the sendings that are not answered yet, in order. */
  readonly unanswered: number[]
  state: SentState
  /** What it is to the transaction of its producer; null outside of transactions. */
  readonly part: TransactionPart | null
  /** Known once it was acknowledged or found after a restart. */
  offset: Offset | null
}

/** A batch that is sent now for the first time, entered into its log. */
export function noteSent(
  log: ModelLog,
  label: string,
  recordCount: number,
  order: number,
  part: TransactionPart | null,
): SentBatch {
  const batch: SentBatch = {
    label,
    recordCount,
    order,
    mayBeMissing: false,
    unanswered: [],
    state: 'pending',
    part,
    offset: null,
  }
  log.batches.set(label, batch)
  return batch
}

export interface ModelProducer {
  readonly producerId: number
  epoch: number
  nextSequence: number
  /** Sent and not acknowledged, oldest first: what a client would send again, in this order. */
  readonly unacknowledged: { batch: SentBatch; bytes: Uint8Array }[]
  inFlight: number
  mustResend: boolean
}

export interface ModelLog {
  readonly id: LogId
  readonly batches: Map<string, SentBatch>
  producer: ModelProducer
  readonly transactions: ModelTransactions
  /** Acknowledged, and asked for at most. */
  start: Offset
  startAtMost: Offset
  ownerEpoch: number
}

export interface ModelTopic {
  readonly name: string
  id: TopicId | null
  state: 'creating' | 'there' | 'deleting'
  logs: ModelLog[]
  partitionsAtMost: number
  setting: number
  settingAtMost: number
}

export class CrashModel {
  readonly topics = new Map<string, ModelTopic>()
  /** How often interesting things came about. */
  readonly counts: Record<string, number> = {}
  producerIdsBelow = 0
  /** The power failed where nothing is synced: the store may have gone back in time, but only as a whole. */
  mayHaveGoneBack = false
  /** Whose deletion was acknowledged. */
  readonly #deleted = new Map<string, ModelTopic>()
  #renewedProducers = 0

  newLog(id: LogId): ModelLog {
    const producer: ModelProducer = {
      producerId: 1000 + id,
      epoch: 0,
      nextSequence: 0,
      unacknowledged: [],
      inFlight: 0,
      mustResend: false,
    }
    return {
      id,
      batches: new Map(),
      producer,
      transactions: new ModelTransactions(id),
      start: 0,
      startAtMost: 0,
      ownerEpoch: 0,
    }
  }

  forgetTopic(topic: ModelTopic): void {
    this.topics.delete(topic.name)
    this.#deleted.set(topic.name, topic)
  }

  acknowledge(log: ModelLog, batch: SentBatch, offset: Offset): void {
    check(
      batch.offset === null || batch.offset === offset,
      () => `batch ${batch.label} of log ${log.id} moved from ${batch.offset} to ${offset}`,
    )
    batch.offset = offset
    batch.state = 'acknowledged'
    if (batch.part !== null) log.transactions.remember(offset, batch.part)
    this.count('acknowledged')
  }

  /** Records of known batches, at the offsets known for these. */
  checkContent(log: ModelLog, found: readonly FoundRecord[]): Map<string, Offset> {
    const offsets = new Map<string, Offset>()
    const counts = new Map<string, number>()
    for (const record of found) {
      const { offset } = record
      const { label, index } = placeOf(record)
      const batch = log.batches.get(label)
      check(batch !== undefined, () => `log ${log.id} has '${label}' at ${offset}, which was not sent to it`)
      const baseOffset = offset - index
      const known = offsets.get(label)
      check(known === undefined || known === baseOffset, () => `batch ${label} is twice in log ${log.id}`)
      offsets.set(label, baseOffset)
      counts.set(label, (counts.get(label) ?? 0) + 1)
      check(
        batch.offset === null || batch.offset === baseOffset,
        () => `batch ${label} of log ${log.id} is at ${baseOffset} instead of ${batch.offset}`,
      )
    }
    for (const [label, count] of counts) {
      const { recordCount } = log.batches.get(label)!
      check(count === recordCount, () => `batch ${label} has ${count} of its ${recordCount} records`)
    }
    return offsets
  }

  /** What was not answered before the crash may have happened. */
  settleUnknown(): void {
    for (const { logs } of this.topics.values()) {
      for (const { batches, producer, transactions } of logs) {
        transactions.settleUnknown()
        for (const batch of batches.values()) if (batch.state === 'pending') batch.state = 'unknown'
        for (const batch of batches.values()) batch.unanswered.length = 0
        producer.inFlight = 0
        producer.mustResend = producer.unacknowledged.length > 0
      }
    }
  }

  /** Compares the store with the model, which then takes over what had been unknown. */
  async compare(store: LocalLogStore): Promise<void> {
    if (this.mayHaveGoneBack) this.#goBack(store)
    for (const { name } of store.topics.all()) {
      check(this.topics.has(name), () => `topic '${name}' is back, or was never made`)
    }
    for (const topic of [...this.topics.values()]) {
      const found = store.topics.byName(topic.name)
      if (found === undefined) {
        check(topic.state !== 'there', () => `topic '${topic.name}' is lost`)
        this.forgetTopic(topic)
        continue
      }
      check(topic.id === null || topic.id === found.id, () => `topic '${topic.name}' has another id`)
      check(
        found.logs.length >= topic.logs.length && found.logs.length <= topic.partitionsAtMost,
        () => `topic '${topic.name}' has ${found.logs.length} partitions`,
      )
      for (const [partition, log] of topic.logs.entries()) {
        check(found.logs[partition] === log.id, () => `'${topic.name}'-${partition} has another log`)
      }
      const setting = Number(found.configs.setting)
      check(
        setting >= topic.setting && setting <= topic.settingAtMost,
        () => `topic '${topic.name}' has setting ${setting} instead of ${topic.setting}`,
      )
      topic.id = found.id
      topic.state = 'there'
      topic.setting = setting
      for (const id of found.logs.slice(topic.logs.length)) topic.logs.push(this.newLog(id))
      topic.partitionsAtMost = topic.logs.length
      for (const log of topic.logs) await this.#compareLog(store, log)
    }
  }

  /**
   * A closed store of which a bit in the file `path` was changed, and which opened: every log has its ends, and
   * each batch its content, but for those whose checksum does not fit or that cannot be read. Says what it was.
   */
  async compareDamaged(store: LocalLogStore, path: string): Promise<string> {
    let damaged = 0
    for (const topic of this.topics.values()) {
      for (const log of topic.logs) {
        const [state] = await store.state([log.id])
        const { logStartOffset, highWatermark } = state!
        check(logStartOffset === log.start, () => `log ${log.id} starts at ${logStartOffset} after damage`)
        const expected = [...log.batches.values()]
          .filter(({ state, offset }) => state === 'acknowledged' && offset! >= log.start)
          .sort((a, b) => a.offset! - b.offset!)
        for (const batch of expected) {
          check(batch.offset! < highWatermark, () => `log ${log.id} ends at ${highWatermark} after damage`)
          if (!(await this.#isIntact(store, log, batch))) damaged++
        }
      }
    }
    check(
      damaged === 0 || path.endsWith('.log') || path.endsWith('.index'),
      () => `a changed bit of ${path} damaged ${damaged} batches`,
    )
    check(damaged <= 1 || path.endsWith('.index'), () => `one changed bit damaged ${damaged} batches`)
    return damaged === 0 ? 'damage that harms nothing' : 'damage noticed by readers'
  }

  async #isIntact(store: LocalLogStore, log: ModelLog, batch: SentBatch): Promise<boolean> {
    const [result] = await store.read([{ logId: log.id, offset: batch.offset!, maxBytes: 0 }], {
      maxBytes: 0,
    })
    if (result!.error !== null) {
      check(result!.error.code === 'READ_FAILED', () => `damage is told as ${result!.error!.stack}`)
      return false
    }
    const bytes = await bytesOf(result!.records)
    // What a reader compares: the format, the checksum, and that the batch is the one it asked for.
    if (batchHeader.baseOffset(bytes, 0) !== batch.offset || !isOneBatch(bytes)) return false
    if (batchCrc(bytes, 0, bytes.byteLength) !== batchHeader.crc(bytes, 0)) return false
    this.checkContent(log, recordsIn(bytes))
    return true
  }

  /** Takes back what the model was told is there: it may be, up to some moment and not beyond. */
  #goBack(store: LocalLogStore): void {
    this.mayHaveGoneBack = false
    this.count('went back')
    this.producerIdsBelow = 0
    for (const { name } of store.topics.all()) {
      const topic = this.#deleted.get(name)
      if (topic !== undefined) this.topics.set(name, topic)
    }
    for (const topic of this.topics.values()) {
      topic.state = 'creating'
      topic.setting = 0
      topic.logs.splice(store.topics.byName(topic.name)?.logs.length ?? 0)
      for (const log of topic.logs) {
        log.start = 0
        log.ownerEpoch = 0
        for (const batch of log.batches.values()) {
          if (batch.state === 'acknowledged') batch.state = 'unknown'
        }
        log.transactions.goBack()
        log.producer = { ...this.newLog(log.id).producer, producerId: 1_000_000 + ++this.#renewedProducers }
      }
    }
  }

  async #compareLog(store: LocalLogStore, log: ModelLog): Promise<void> {
    const [state] = await store.state([log.id])
    const { logStartOffset: start, highWatermark: end } = state!
    check(
      start >= log.start && start <= log.startAtMost,
      () => `log ${log.id} starts at ${start}, not from ${log.start} to ${log.startAtMost}`,
    )
    log.start = start
    log.startAtMost = start
    const records = await readLog(store, log.id, start)
    check((records.at(-1)?.offset ?? start - 1) === end - 1, () => `log ${log.id} does not end at ${end}`)
    // The batch in which the log starts is read from its middle, and cannot be judged.
    const whole = records.findIndex((record) => placeOf(record).index === 0)
    const offsets = this.checkContent(log, whole < 0 ? [] : records.slice(whole))
    const firstWhole = whole < 0 ? end : records[whole]!.offset
    let missing: SentBatch | null = null
    for (const batch of [...log.batches.values()].sort((a, b) => a.order - b.order)) {
      const offset = offsets.get(batch.label) ?? null
      if (offset !== null) {
        check(batch.state !== 'refused', () => `batch ${batch.label} was refused and is in log ${log.id}`)
        check(
          missing === null,
          () => `log ${log.id} has batch ${batch.label}, but not ${missing?.label}, which was sent before it`,
        )
        if (batch.state === 'unknown') this.count('unacknowledged, found')
        batch.state = 'acknowledged'
        batch.offset = offset
        continue
      }
      if (batch.state === 'acknowledged') {
        check(
          batch.offset! < firstWhole,
          () => `batch ${batch.label}, acknowledged at ${batch.offset} of log ${log.id}, is lost`,
        )
      } else if (batch.state === 'unknown' && this.#mayLieBefore(log, batch, firstWhole)) {
        batch.mayBeMissing = true
      } else if (batch.state === 'unknown') {
        if (!batch.mayBeMissing) missing = batch
        // It will not come back; a retry is a new attempt.
        batch.state = 'refused'
        batch.offset = null
        this.count('unacknowledged, gone')
      }
    }
    await log.transactions.compare(store, records, start, end)
    this.count(log.transactions.summary)
    await this.#compareProducer(store, log)
    await this.#compareSize(store, log, start, state!.sizeBytes)
  }

  /** An unacknowledged batch may have been written before the log's start was moved past it. */
  #mayLieBefore(log: ModelLog, batch: SentBatch, firstWhole: Offset): boolean {
    if (firstWhole === 0) return false
    const later = [...log.batches.values()].filter(
      ({ order, offset, state }) => order > batch.order && state === 'acknowledged' && offset !== null,
    )
    return later.length > 0 || log.start > 0
  }

  async #compareProducer(store: LocalLogStore, log: ModelLog): Promise<void> {
    const known = (await store.producers(log.id)).find(
      ({ producerId }) => producerId === log.producer.producerId,
    )
    if (known === undefined) return
    check(
      known.producerEpoch <= log.producer.epoch && known.lastSequence < log.producer.nextSequence + 3000,
      () => `log ${log.id} knows of its producer what it cannot: ${JSON.stringify(known)}`,
    )
  }

  async #compareSize(store: LocalLogStore, log: ModelLog, start: Offset, sizeBytes: number): Promise<void> {
    const [result] = await store.read([{ logId: log.id, offset: start, maxBytes: 1e9 }], { maxBytes: 1e9 })
    if (result!.error !== null) throw result!.error
    const bytes = await bytesOf(result!.records)
    check(
      bytes.byteLength === sizeBytes,
      () => `log ${log.id} has ${bytes.byteLength} bytes and says ${sizeBytes}`,
    )
    if (bytes.byteLength > 0) {
      check(batchHeader.baseOffset(bytes, 0) <= start, () => `log ${log.id} does not begin at ${start}`)
    }
  }

  count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1
  }
}

function isOneBatch(bytes: Uint8Array): boolean {
  try {
    return batchesIn(bytes).next().value?.byteLength === bytes.byteLength
  } catch (error) {
    if (error instanceof ProtocolError) return false
    throw error
  }
}
