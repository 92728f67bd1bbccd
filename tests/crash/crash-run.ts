/** Kills, restarts and comparisons on one data folder. */
import { setTimeout as delay } from 'node:timers/promises'
import { RawConnection } from '../../bench/wire/raw-connection.ts'
import { createTopic, endOffsets } from '../../bench/wire/topics.ts'
import type { BrokerUnderTest } from './broker-under-test.ts'
import { checkOffsets, type ToldOffsets } from './groups/committed-offsets.ts'
import { changingGroups, steadyGroups } from './groups/group-load.ts'
import { Load, type LoadKind } from './load.ts'
import { Model } from './model.ts'
import { checkPartition } from './partition-check.ts'
import { findTopicFaults } from './passing-topics.ts'
import type { Random } from './random.ts'
import { readPartition } from './read-back.ts'
import { readLedger } from './transactions/ledger.ts'
import { checkTransactions, type LedgerContent } from './transactions/transaction-check.ts'

const TOPIC = 'crash'
const PARTITIONS = 6
const LEDGER = 'ledger'
const LEDGER_PARTITIONS = 5
const TRANSACTIONAL_PRODUCERS = 6
const LOAD_MS = { least: 50, most: 1200 }
const TOPICS_MS = { least: 20, most: 300 }
/** A start takes a few hundred milliseconds, most of it before the data is touched. */
const STARTING_MS = { least: 60, most: 450 }

/** Where a kill falls. */
type KillKind = 'under load' | 'among groups and transactions' | 'making topics' | 'starting'

/** Changes what was read before it is checked, to see whether the check notices. */
export interface Tamper {
  readonly content?: (
    partition: number,
    content: AsyncIterable<readonly Uint8Array[]>,
  ) => AsyncIterable<readonly Uint8Array[]>
  readonly offsets?: (group: string, told: ToldOffsets) => ToldOffsets
  readonly ledger?: (content: LedgerContent) => LedgerContent
}

const loadOf: Readonly<Record<Exclude<KillKind, 'starting'>, LoadKind>> = {
  'under load': 'everything',
  'among groups and transactions': 'coordinators',
  'making topics': 'topics',
}

interface ReadBack {
  readonly faults: string[]
  readonly records: number
  readonly bytes: number
}

export class CrashRun {
  passed = 0
  failed = 0
  readonly model = new Model({
    topic: TOPIC,
    partitions: PARTITIONS,
    groups: [...steadyGroups, ...changingGroups],
    ledger: LEDGER,
    ledgerPartitions: LEDGER_PARTITIONS,
    transactionalProducers: TRANSACTIONAL_PRODUCERS,
  })
  readonly load: Load
  readonly #broker: BrokerUnderTest
  readonly #port: number
  readonly #random: Random

  constructor(broker: BrokerUnderTest, port: number, random: Random) {
    this.#broker = broker
    this.#port = port
    this.#random = random
    this.load = new Load(this.model, random.between(1, 1_000_000))
  }

  /** After the last kill everything that was sent is acknowledged, and checked once more. */
  async perform(kills: number): Promise<void> {
    await this.#broker.start()
    const connection = await RawConnection.open(this.#port)
    await createTopic(connection, TOPIC, PARTITIONS)
    await createTopic(connection, LEDGER, LEDGER_PARTITIONS)
    connection.close()
    // A first generation waits for members longer than kills would let it.
    await this.load.begin(this.#port, 'coordinators')
    await this.load.finish()
    for (let kill = 1; kill <= kills; kill++) await this.#killOnce(kill)
    await this.load.begin(this.#port, 'everything')
    await delay(LOAD_MS.least)
    await this.load.finish()
    const result = await this.readBack()
    const all = this.model.acknowledgedRecords
    if (result.records !== all) result.faults.push(`${all} records were sent and ${result.records} are there`)
    this.#judge(
      `at the end: ${all} acknowledged, ${result.records} there, ${this.#promises()}`,
      result.faults,
    )
  }

  /** Reads everything there is and compares it with what was promised. */
  async readBack(tamper: Tamper = {}): Promise<ReadBack> {
    const { model } = this
    const connection = await RawConnection.open(this.#port)
    try {
      const faults = [...model.takeLiveFaults(), ...(await findTopicFaults(connection, model))]
      for (const [group, offsets] of model.offsets.byGroup) {
        const tampered = (told: ToldOffsets) => tamper.offsets?.(group, told) ?? told
        faults.push(...(await checkOffsets(connection, model.offsets.topic, offsets, tampered)))
      }
      const ledger = await readLedger(connection, model.ledger, model.transactions)
      faults.push(...checkTransactions(model.transactions, tamper.ledger?.(ledger) ?? ledger))
      const ends = await endOffsets(connection, TOPIC, PARTITIONS)
      let records = 0
      let bytes = 0
      for (const history of model.partitions) {
        const { partition } = history
        const content = readPartition(connection, TOPIC, partition, ends[partition]!)
        const verdict = await checkPartition(history, tamper.content?.(partition, content) ?? content)
        faults.push(...verdict.faults)
        records += verdict.records
        bytes += verdict.bytes
      }
      return { faults, records, bytes }
    } finally {
      connection.close()
    }
  }

  async #killOnce(kill: number): Promise<void> {
    const kind = this.#kindOf(kill)
    const { least, most } = kind === 'starting' ? STARTING_MS : kind === 'making topics' ? TOPICS_MS : LOAD_MS
    const afterMs = this.#random.between(least, most)
    if (kind === 'starting') {
      // What is killed while it starts had been killed under load before: there is something to recover.
      await this.#killUnderLoad(LOAD_MS.least * 4, 'everything')
      await this.#broker.startAndKill(afterMs)
    } else {
      await this.#killUnderLoad(afterMs, loadOf[kind])
    }
    const acknowledged = this.model.acknowledgedRecords
    const readyMs = await this.#broker.start()
    await this.load.recover(this.#port)
    const { faults, records, bytes } = await this.readBack()
    const resent = this.load.writers.reduce((sum, writer) => sum + writer.resent, 0)
    this.#judge(
      `kill ${kill} ${kind} after ${afterMs} ms: ${acknowledged} acknowledged, ${records} there (${(bytes / 1e6).toFixed(0)} MB), ${this.model.passingTopics.size} topics, ${resent} batches resent, ${this.#promises()}, back in ${readyMs.toFixed(0)} ms`,
      faults,
    )
  }

  async #killUnderLoad(afterMs: number, kind: LoadKind): Promise<void> {
    await this.load.begin(this.#port, kind)
    await delay(afterMs)
    await this.#broker.kill9()
    await this.load.interrupted()
  }

  #promises(): string {
    const commits = this.model.offsets.acknowledgedCommits
    const transactions = this.model.transactions.reduce(
      (sum, history) => sum + history.transactions.length,
      0,
    )
    const committed = this.model.transactions.reduce((sum, history) => sum + history.committedTransactions, 0)
    return `${commits} commits, ${committed} of ${transactions} transactions committed`
  }

  #kindOf(kill: number): KillKind {
    if (kill % 5 === 3) return 'starting'
    if (kill % 5 === 0) return 'making topics'
    return kill % 5 === 2 ? 'among groups and transactions' : 'under load'
  }

  #judge(what: string, faults: readonly string[]): void {
    if (faults.length === 0) this.passed++
    else this.failed++
    process.stdout.write(`${faults.length === 0 ? 'ok  ' : 'FAIL'} ${what}\n`)
    for (const fault of faults) process.stdout.write(`       ${fault}\n`)
  }
}
