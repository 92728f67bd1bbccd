import { type BatchRecords, readControlRecord } from '@streambus/protocol'
import type { LogId } from '@streambus/storage'
import { check } from './simulation-failure.ts'
import type { TransactionReplica } from './transaction-replica.ts'

/** A record that a producer of the simulation wrote. */
interface DataRecord {
  readonly offset: number
  readonly transaction: string
  readonly value: string
  committed: boolean | null
}

interface OpenTransaction {
  readonly firstOffset: number
  readonly records: DataRecord[]
}

interface DataLog {
  readonly records: DataRecord[]
  readonly open: Map<number, OpenTransaction>
  readonly values: Set<string>
  endOffset: number
}

/** A transaction as its producer sees it. */
export interface ClientTransaction {
  readonly id: string
  commitAsked: boolean
  /** What the coordinator answered. */
  answered: 'committed' | 'aborted' | null
  /** What was acknowledged: records, and offsets of groups. */
  readonly acknowledged: { readonly logId: LogId; readonly offset: number; readonly value: string }[]
  /** Known from the first marker on. */
  outcome: boolean | null
}

/**
 * The logs that transactional producers write to, record by record as they become durable:
 *
 * - Every transaction is committed everywhere or aborted everywhere, and committed only if its producer asked.
 * - What a producer wrote lies in its own transaction, once, and no producer writes after it was fenced.
 * - When a transaction is complete nothing of it is open.
 */
export class DataLogs {
  readonly transactions = new Map<string, ClientTransaction>()
  readonly #logs = new Map<LogId, DataLog>()
  readonly #decisions: TransactionReplica['decisions']
  /** The least epoch of a producer that may still write. */
  readonly #fencedBelow = new Map<number, number>()

  constructor(decisions: TransactionReplica['decisions']) {
    this.#decisions = decisions
  }

  begin(id: string): ClientTransaction {
    const transaction: ClientTransaction = {
      id,
      commitAsked: false,
      answered: null,
      acknowledged: [],
      outcome: null,
    }
    this.transactions.set(id, transaction)
    return transaction
  }

  /** From now on nothing that this producer sent with an older epoch may come into a log. */
  fence(producerId: number, epoch: number): void {
    this.#fencedBelow.set(producerId, Math.max(epoch, this.#fencedBelow.get(producerId) ?? 0))
  }

  batch(logId: LogId, records: BatchRecords, baseOffset: number, producerEpoch: number): void {
    const log = this.#log(logId)
    const { producerId } = records
    check(baseOffset === log.endOffset, () => `log ${logId} continues at ${baseOffset}, not ${log.endOffset}`)
    log.endOffset += records.recordCount
    if (records.isControl) {
      for (const record of records) {
        const marker = readControlRecord(record)
        if (marker !== null) this.#marker(logId, log, producerId, marker.type === 'commit')
      }
      return
    }
    check(
      producerEpoch >= (this.#fencedBelow.get(producerId) ?? 0),
      () => `producer ${producerId} wrote to log ${logId} with epoch ${producerEpoch} after it was fenced`,
    )
    let open = log.open.get(producerId)
    if (open === undefined) {
      open = { firstOffset: baseOffset, records: [] }
      log.open.set(producerId, open)
    }
    for (const record of records) {
      const value = Buffer.from(record.value!).toString()
      check(!log.values.has(value), () => `record ${value} is twice in log ${logId}`)
      log.values.add(value)
      const transaction = transactionOf(value)
      const other = open.records.find((each) => each.transaction !== transaction)
      check(
        other === undefined,
        () => `records of ${transaction} and ${other?.transaction} are in one transaction of log ${logId}`,
      )
      const found = { offset: baseOffset + Number(record.offset), transaction, value, committed: null }
      log.records.push(found)
      open.records.push(found)
    }
  }

  /** Offsets of groups that a transaction carried became visible, or were forgotten. */
  offsetsEnded(transactionId: string, committed: boolean): void {
    this.#decided(transactionId, committed, 'offsets')
  }

  /** A transaction of the producer is complete. */
  complete(producerId: number): void {
    for (const [logId, log] of this.#logs) {
      const open = log.open.get(producerId)
      check(
        open === undefined,
        () =>
          `the transaction of producer ${producerId} is complete, and ${open?.records[0]?.transaction} is open in log ${logId} from ${open?.firstOffset}`,
      )
    }
  }

  /** An acknowledged record is there. */
  checkWritten(logId: LogId, offset: number, value: string): void {
    const found = this.#log(logId).records.find((record) => record.offset === offset)
    check(
      found?.value === value,
      () => `${value} was acknowledged at ${offset} of log ${logId}, where ${found?.value ?? 'nothing'} is`,
    )
  }

  lastStableOffset(logId: LogId): number {
    const log = this.#log(logId)
    let offset = log.endOffset
    for (const { firstOffset } of log.open.values()) offset = Math.min(offset, firstOffset)
    return offset
  }

  endOffset(logId: LogId): number {
    return this.#log(logId).endOffset
  }

  /** What somebody who reads only what is committed sees of the log. */
  committedValues(logId: LogId, fromOffset: number, toOffset: number): string[] {
    return this.#log(logId)
      .records.filter(
        ({ offset, committed }) => offset >= fromOffset && offset < toOffset && committed === true,
      )
      .map(({ value }) => value)
  }

  /** At the end: every transaction is decided as its producer was told. */
  checkAllDecided(): void {
    for (const [logId, { open }] of this.#logs) {
      for (const [producerId, { firstOffset, records }] of open) {
        check(
          false,
          () =>
            `${records[0]?.transaction} of producer ${producerId} is open in log ${logId} from ${firstOffset} for ever`,
        )
      }
    }
    for (const { id, answered, outcome, acknowledged } of this.transactions.values()) {
      if (answered === 'committed') {
        check(
          outcome === true || acknowledged.length === 0,
          () => `${id} was answered to be committed, and is ${outcome === false ? 'aborted' : 'not'}`,
        )
      }
      if (answered === 'aborted')
        check(outcome !== true, () => `${id} was answered to be aborted, and is committed`)
      if (outcome !== true) continue
      for (const { logId, offset, value } of acknowledged) {
        const found = this.#log(logId).records.find((record) => record.offset === offset)
        check(
          found?.value === value && found.committed === true,
          () => `${id} is committed without ${value}, acknowledged at ${offset} of log ${logId}`,
        )
      }
    }
  }

  #marker(logId: LogId, log: DataLog, producerId: number, committed: boolean): void {
    const open = log.open.get(producerId)
    if (open === undefined) return
    check(
      this.#decisions.get(producerId) === committed,
      () =>
        `log ${logId} got a marker that ${committed ? 'commits' : 'aborts'} the transaction of producer ${producerId}, and that is not what was decided`,
    )
    log.open.delete(producerId)
    for (const record of open.records) record.committed = committed
    const transaction = open.records[0]!.transaction
    this.#decided(transaction, committed, `log ${logId}`)
    if (!committed) return
    for (const acknowledged of this.transactions.get(transaction)!.acknowledged) {
      if (acknowledged.logId !== logId) continue
      check(
        open.records.some(({ offset }) => offset === acknowledged.offset),
        () => `${transaction} is committed in log ${logId} without ${acknowledged.value}`,
      )
    }
  }

  #decided(transactionId: string, committed: boolean, where: string): void {
    const transaction = this.transactions.get(transactionId)
    check(transaction !== undefined, () => `nobody began ${transactionId}, which ended in ${where}`)
    check(
      transaction.outcome === null || transaction.outcome === committed,
      () => `${transactionId} is ${committed ? 'committed' : 'aborted'} in ${where}, and not so elsewhere`,
    )
    check(
      !committed || transaction.commitAsked,
      () => `${transactionId} is committed, and nobody asked for it`,
    )
    transaction.outcome = committed
  }

  #log(logId: LogId): DataLog {
    let log = this.#logs.get(logId)
    if (log === undefined) {
      log = { records: [], open: new Map(), values: new Set(), endOffset: 0 }
      this.#logs.set(logId, log)
    }
    return log
  }
}

/** Values and metadata begin with the id of their transaction: 'id:rest'. */
function transactionOf(value: string): string {
  return value.slice(0, value.indexOf(':'))
}
