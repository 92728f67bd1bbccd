/** Kills, restarts and comparisons on one data folder. */
import { setTimeout as delay } from 'node:timers/promises'
import { RawConnection } from '../../bench/wire/raw-connection.ts'
import { createTopic, endOffsets } from '../../bench/wire/topics.ts'
import type { BrokerUnderTest } from './broker-under-test.ts'
import { Load } from './load.ts'
import { Model } from './model.ts'
import { checkPartition } from './partition-check.ts'
import { findTopicFaults } from './passing-topics.ts'
import type { Random } from './random.ts'
import { readPartition } from './read-back.ts'

const TOPIC = 'crash'
const PARTITIONS = 6
const LOAD_MS = { least: 50, most: 1200 }
const TOPICS_MS = { least: 20, most: 300 }
/** A start takes a few hundred milliseconds, most of it before the data is touched. */
const STARTING_MS = { least: 60, most: 450 }

/** Where a kill falls. */
type KillKind = 'under load' | 'making topics' | 'starting'

/** Changes what was read before it is checked, to see whether the check notices. */
export type Tamper = (
  partition: number,
  content: AsyncIterable<readonly Uint8Array[]>,
) => AsyncIterable<readonly Uint8Array[]>

interface ReadBack {
  readonly faults: string[]
  readonly records: number
  readonly bytes: number
}

export class CrashRun {
  passed = 0
  failed = 0
  readonly model = new Model(TOPIC, PARTITIONS)
  readonly #broker: BrokerUnderTest
  readonly #port: number
  readonly #random: Random
  readonly #load: Load

  constructor(broker: BrokerUnderTest, port: number, random: Random) {
    this.#broker = broker
    this.#port = port
    this.#random = random
    this.#load = new Load(this.model, random.between(1, 1_000_000))
  }

  /** After the last kill everything that was sent is acknowledged, and checked once more. */
  async perform(kills: number): Promise<void> {
    await this.#broker.start()
    const connection = await RawConnection.open(this.#port)
    await createTopic(connection, TOPIC, PARTITIONS)
    connection.close()
    for (let kill = 1; kill <= kills; kill++) await this.#killOnce(kill)
    await this.#load.begin(this.#port, false)
    await delay(LOAD_MS.least)
    await this.#load.finish()
    const result = await this.readBack()
    const all = this.model.acknowledgedRecords
    if (result.records !== all) result.faults.push(`${all} records were sent and ${result.records} are there`)
    this.#judge(`at the end: ${all} acknowledged, ${result.records} there`, result.faults)
  }

  /** Reads everything there is and compares it with what was promised. */
  async readBack(tamper: Tamper = (_, content) => content): Promise<ReadBack> {
    const connection = await RawConnection.open(this.#port)
    try {
      const faults = await findTopicFaults(connection, this.model)
      const ends = await endOffsets(connection, TOPIC, PARTITIONS)
      let records = 0
      let bytes = 0
      for (const history of this.model.partitions) {
        const { partition } = history
        const content = readPartition(connection, TOPIC, partition, ends[partition]!)
        const verdict = await checkPartition(history, tamper(partition, content))
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
    const { least, most } = kind === 'under load' ? LOAD_MS : kind === 'starting' ? STARTING_MS : TOPICS_MS
    const afterMs = this.#random.between(least, most)
    if (kind === 'starting') {
      // What is killed while it starts had been killed under load before: there is something to recover.
      await this.#killUnderLoad(LOAD_MS.least * 4, false)
      await this.#broker.startAndKill(afterMs)
    } else {
      await this.#killUnderLoad(afterMs, kind === 'making topics')
    }
    const acknowledged = this.model.acknowledgedRecords
    const readyMs = await this.#broker.start()
    const { faults, records, bytes } = await this.readBack()
    const resent = this.#load.writers.reduce((sum, writer) => sum + writer.resent, 0)
    this.#judge(
      `kill ${kill} ${kind} after ${afterMs} ms: ${acknowledged} acknowledged, ${records} there (${(bytes / 1e6).toFixed(0)} MB), ${this.model.passingTopics.size} topics, ${resent} batches resent so far, back in ${readyMs.toFixed(0)} ms`,
      faults,
    )
  }

  async #killUnderLoad(afterMs: number, topicsOnly: boolean): Promise<void> {
    await this.#load.begin(this.#port, topicsOnly)
    await delay(afterMs)
    await this.#broker.kill9()
    await this.#load.interrupted()
  }

  #kindOf(kill: number): KillKind {
    if (kill % 5 === 3) return 'starting'
    if (kill % 5 === 0) return 'making topics'
    return 'under load'
  }

  #judge(what: string, faults: readonly string[]): void {
    if (faults.length === 0) this.passed++
    else this.failed++
    process.stdout.write(`${faults.length === 0 ? 'ok  ' : 'FAIL'} ${what}\n`)
    for (const fault of faults) process.stdout.write(`       ${fault}\n`)
  }
}
