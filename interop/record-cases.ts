/**
 * The cases that every client runs: records produced and consumed, their offsets, order and content checked,
 * before and after the broker was killed.
 */
import { allCodecs, type InteropClient } from './client.ts'
import type { Ledger } from './ledger.ts'
import { type Consumed, EVERY_COMBINATION, expectedRecords, type RecordSet, type Shape } from './records.ts'

const RECORDS = 10_000
const LARGE_RECORDS = 12
/** Each combination twice, in one codec after the other. */
const EVERY_RECORDS = 2 * EVERY_COMBINATION
const everyCodec = ['none', ...allCodecs] as const
const AUTO_CREATED_RECORDS = 100
const KILLED_ROUND_RECORDS = 3_000

/** Topics that are created before the cases, by name, with their partitions. */
const topicsCreated: readonly (readonly [string, number])[] = [
  ['plain', 1],
  ['partitions', 3],
  ...allCodecs.map((codec) => [codec, 1] as const),
  ['one-byte', 1],
  ['large', 1],
  ['restarted', 3],
  ['idempotent', 1],
  ['killed', 3],
]

/** A topic of this run and what it must hold. */
interface FilledTopic {
  topic: string
  set: RecordSet
  total: number
}

export class RecordCases {
  readonly client: InteropClient
  readonly #ledger: Ledger
  readonly #run: string
  readonly #baseTimestampMs: number
  readonly #expected = new Map<string, Consumed>()
  /** Filled by one partition of plain records: what the other clients read. */
  #plain: FilledTopic | undefined
  readonly #compressed = new Map<string, FilledTopic>()
  #restarted: FilledTopic | undefined
  #idempotent: FilledTopic | undefined
  #killed: FilledTopic | undefined
  #every: FilledTopic | undefined
  #killedFailure: unknown

  constructor(client: InteropClient, ledger: Ledger, run: string, baseTimestampMs: number) {
    this.client = client
    this.#ledger = ledger
    this.#run = `${run}-${client.name.replace(/[^a-zA-Z]+/g, '')}`
    this.#baseTimestampMs = baseTimestampMs
  }

  /** Every topic that a case has filled completely, and how many records each of its partitions holds. */
  *filledTopics(): Generator<{ topic: string; partition: number; records: number }> {
    const topics = [
      this.#plain,
      this.#restarted,
      this.#idempotent,
      this.#killed,
      ...this.#compressed.values(),
    ]
    for (const filled of topics) {
      if (filled === undefined || filled.total < RECORDS) continue
      for (let partition = 0; partition < filled.set.partitions; partition++) {
        const records = this.#expectedOf(filled, partition, 0).count
        yield { topic: filled.topic, partition, records }
      }
    }
  }

  async beforeKill(): Promise<void> {
    const { client } = this
    const count = RECORDS.toLocaleString('en')
    // All at once and first: a broker may need a moment after it has said that a topic exists.
    await this.#case('creates topics', async () => {
      for (const [name, partitions] of topicsCreated) {
        if (partitions > 1 || client.createsTopics) {
          await client.createTopic(`${this.#run}-${name}`, partitions)
        }
      }
      if (client.everyRecord !== undefined) await client.createTopic(`${this.#run}-every`, 1)
    })
    await this.#case(`${count} records with keys and headers`, async () => {
      const filled = await this.#fill('plain', 1, 'mixed', RECORDS)
      await this.verify(client, filled)
      this.#plain = filled
    })
    await this.#case(`${count} records over 3 partitions, order in each`, async () => {
      await this.verify(client, await this.#fill('partitions', 3, 'mixed', RECORDS))
    })
    for (const codec of allCodecs) {
      const name = `${count} records compressed with ${codec}`
      const missing = client.missingCodecs[codec]
      if (missing !== undefined) this.#ledger.notApplicable(client.name, name, missing)
      else {
        await this.#case(name, async () => {
          const filled = await this.#fill(codec, 1, 'mixed', RECORDS, { codec })
          await this.verify(client, filled)
          this.#compressed.set(codec, filled)
        })
      }
    }
    await this.#case('1-byte values', async () => {
      await this.verify(client, await this.#fill('one-byte', 1, 'one-byte', RECORDS))
    })
    await this.#case('900-KB values', async () => {
      await this.verify(client, await this.#fill('large', 1, 'large', LARGE_RECORDS))
    })
    if (client.everyRecord !== undefined) {
      await this.#case('every kind of key, value and header, in every codec', async () => {
        const topic = `${this.#run}-every`
        const set = this.#set(topic, 1, 'every')
        for (const [index, codec] of everyCodec.entries()) {
          const total = (index + 1) * EVERY_RECORDS
          await this.#produce({ topic, set, total }, index * EVERY_RECORDS, { codec })
        }
        const filled = { topic, set, total: everyCodec.length * EVERY_RECORDS }
        await this.verify(client, filled)
        this.#every = filled
      })
    }
    await this.#case('topic created by the first produce', async () => {
      const topic = `${this.#run}-created-by-produce`
      const set = this.#set(topic, 1, 'mixed')
      await this.#produce({ topic, set, total: AUTO_CREATED_RECORDS }, 0)
      await this.verify(client, { topic, set, total: AUTO_CREATED_RECORDS })
    })
    await this.#case('seek to the middle', async () => {
      await this.verify(client, this.#filledPlain(), RECORDS / 2)
    })
    await this.#case('seek by time', () => this.#seekByTime())
    await this.#case('first half before kill -9', async () => {
      this.#restarted = await this.#fill('restarted', 3, 'mixed', RECORDS / 2)
    })
    await this.#case('idempotent producer, first half before kill -9', async () => {
      this.#idempotent = await this.#fill('idempotent', 1, 'mixed', RECORDS / 2, { idempotent: true })
      await this.verify(client, this.#idempotent)
    })
  }

  async afterKill(): Promise<void> {
    const { client } = this
    await this.#case('records from before kill -9 intact at their offsets', async () => {
      await this.verify(client, this.#filledPlain())
      await this.verify(client, required(this.#restarted, 'the first half was not produced'))
    })
    await this.#case('second half after kill -9 continues at the next offset', async () => {
      const half = required(this.#restarted, 'the first half was not produced')
      const filled = { ...half, total: RECORDS }
      await this.#produce(filled, half.total)
      await this.verify(client, filled)
      this.#restarted = filled
    })
    await this.#case('idempotent producer continues after kill -9', async () => {
      const half = required(this.#idempotent, 'the first half was not produced')
      const filled = { ...half, total: RECORDS }
      await this.#produce(filled, half.total, { idempotent: true })
      await this.verify(client, filled)
      this.#idempotent = filled
    })
  }

  /** One round of sending with the idempotent producer while the broker is killed; see `afterKills`. */
  async sendWhileKilled(round: number): Promise<void> {
    const topic = `${this.#run}-killed`
    const filled = { topic, set: this.#set(topic, 3, 'mixed'), total: (round + 1) * KILLED_ROUND_RECORDS }
    if (this.#killedFailure !== undefined || this.client.endsWithBroker !== null) return
    try {
      await this.#produce(filled, round * KILLED_ROUND_RECORDS, { idempotent: true })
      this.#killed = filled
    } catch (error) {
      // Told by the case, once the rounds are over: the broker has to come back for the other clients.
      this.#killedFailure = error
      this.#killed = undefined
    }
  }

  async afterKills(rounds: number): Promise<void> {
    const name = `idempotent producer sending while the broker is killed ${rounds} times: nothing lost, doubled or reordered`
    const { endsWithBroker } = this.client
    if (endsWithBroker !== null) {
      this.#ledger.notApplicable(this.client.name, name, endsWithBroker)
      return
    }
    await this.#case(name, async () => {
      if (this.#killedFailure !== undefined) throw this.#killedFailure
      await this.verify(this.client, required(this.#killed, 'nothing was sent'))
    })
  }

  /** Another client reads what this one wrote. */
  async readBy(reader: InteropClient): Promise<void> {
    await this.#case(`its records read by ${reader.name}, every codec`, async () => {
      await this.verify(reader, this.#filledPlain())
      for (const filled of this.#compressed.values()) await this.verify(reader, filled)
    })
    if (this.client.everyRecord === undefined || reader.everyRecord === undefined) return
    await this.#case(
      `every kind of key, value and header, in every codec, read by ${reader.name}`,
      async () => {
        await this.verify(reader, required(this.#every, 'not all of them were produced'))
      },
    )
  }

  /** Everything from `fromOffset` on, in every partition. */
  async verify(reader: InteropClient, filled: FilledTopic, fromOffset = 0): Promise<void> {
    for (let partition = 0; partition < filled.set.partitions; partition++) {
      const expected = this.#expectedOf(filled, partition, fromOffset)
      const { topic } = filled
      const found = await reader.consume({ topic, partition, fromOffset, count: expected.count })
      const where = `${topic}/${partition} from ${fromOffset}`
      const fields = ['offsetGap', 'firstOffset', 'count', 'lastOffset', 'digest'] as const
      for (const field of fields) check(`${where}: ${field}`, found[field], expected[field])
      if (this.client.createsTopics) {
        check(`${where}: timestamps`, found.timestampDigest, expected.timestampDigest)
      }
    }
  }

  async #seekByTime(): Promise<void> {
    const { client } = this
    const filled = this.#filledPlain()
    const offset = Math.floor(RECORDS * 0.7)
    if (client.timestampAt !== undefined) {
      // Records sent in one moment share a timestamp: the first of them is the one to find.
      const timestampMs = await client.timestampAt(filled.topic, 0, offset)
      const found = await client.offsetForTime(filled.topic, 0, timestampMs)
      if (found < 0 || found > offset) throw new Error(`offset ${found} for the time of record ${offset}`)
      check('timestamp of the record found', await client.timestampAt(filled.topic, 0, found), timestampMs)
      if (found > 0) {
        const before = await client.timestampAt(filled.topic, 0, found - 1)
        if (before >= timestampMs) throw new Error(`the record before ${found} is not older`)
      }
      await this.verify(client, filled, found)
      return
    }
    const timestampMs = filled.set.baseTimestampMs + offset * 10
    check('offset for the exact time', await client.offsetForTime(filled.topic, 0, timestampMs), offset)
    check(
      'offset for a time between',
      await client.offsetForTime(filled.topic, 0, timestampMs + 1),
      offset + 1,
    )
    await this.verify(client, filled, offset)
  }

  #filledPlain(): FilledTopic {
    return required(this.#plain, 'the topic with plain records was not filled')
  }

  #set(topic: string, partitions: number, shape: Shape): RecordSet {
    const { headers: varied, everyRecord = 'none' } = this.client
    const headers = shape === 'mixed' ? varied : shape === 'every' ? everyRecord : 'none'
    return { seed: topic, shape, headers, partitions, baseTimestampMs: this.#baseTimestampMs }
  }

  async #fill(
    name: string,
    partitions: number,
    shape: Shape,
    total: number,
    options: { codec?: string; idempotent?: boolean } = {},
  ): Promise<FilledTopic> {
    const topic = `${this.#run}-${name}`
    const filled = { topic, set: this.#set(topic, partitions, shape), total }
    await this.#produce(filled, 0, options)
    return filled
  }

  async #produce(
    { topic, set, total }: FilledTopic,
    from: number,
    { codec = 'none', idempotent = false }: { codec?: string; idempotent?: boolean } = {},
  ): Promise<void> {
    const produced = await this.client.produce({ topic, set, from, to: total, codec, idempotent })
    check('acknowledged', produced.acknowledged, total - from)
    check('acknowledged at a wrong offset', produced.wrongOffset, null)
  }

  #expectedOf({ set, total }: FilledTopic, partition: number, fromOffset: number): Consumed {
    const key = JSON.stringify([set, total, partition, fromOffset])
    let expected = this.#expected.get(key)
    if (expected === undefined) {
      expected = expectedRecords(set, partition, fromOffset, total)
      this.#expected.set(key, expected)
    }
    return expected
  }

  async #case(name: string, body: () => Promise<void>): Promise<void> {
    await this.#ledger.run(this.client.name, name, body)
  }
}

function required<T>(value: T | undefined, reason: string): T {
  if (value === undefined) throw new Error(reason)
  return value
}

function check(what: string, found: unknown, expected: unknown): void {
  if (found !== expected) throw new Error(`${what}: ${found} instead of ${expected}`)
}
