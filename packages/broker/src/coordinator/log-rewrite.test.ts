import { MemoryLogStore } from '@streambus/storage'
import { expect, test } from 'vitest'
import { silentLogger } from '../logger.ts'
import { CoordinatorLog, type CoordinatorRecord, type Replay } from './coordinator-log.ts'
import { CONSUMER_OFFSETS, InternalTopic } from './internal-topics.ts'
import { LogRewrite } from './log-rewrite.ts'
import { SystemScheduler } from './scheduler.ts'
import { Turns } from './turns.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const record = (key: string, value: string | null): CoordinatorRecord => ({
  key: encoder.encode(key),
  value: value === null ? null : encoder.encode(value),
})

/** Keys and values, as an event-sourced coordinator keeps them; transactions are pending by producer. */
class Table {
  readonly values = new Map<string, string>()
  readonly pending = new Map<number, [string, string | null][]>()

  apply(entries: Iterable<[string, string | null]>): void {
    for (const [key, value] of entries) {
      if (value === null) this.values.delete(key)
      else this.values.set(key, value)
    }
  }

  get replay(): Replay {
    return {
      records: (records, transactional) => {
        const entries: [string, string | null][] = []
        for (const { key, value } of records) {
          entries.push([decoder.decode(key), value === null ? null : decoder.decode(value)])
        }
        if (transactional === null) this.apply(entries)
        else this.pending.set(transactional.producerId, entries)
      },
      marker: ({ producerId }, committed) => {
        if (committed) this.apply(this.pending.get(producerId) ?? [])
        this.pending.delete(producerId)
      },
    }
  }
}

async function setUp() {
  const store = await MemoryLogStore.open()
  const logId = (await new InternalTopic(store, CONSUMER_OFFSETS).findOrCreate()).logs[0]!
  const scheduler = new SystemScheduler(Date.now)
  const nowMs = () => scheduler.nowMs()
  const table = new Table()
  const log = await CoordinatorLog.open({ store, logId, nowMs }, table.replay)
  const turns = new Turns()
  const rewrite = new LogRewrite({
    store,
    scheduler,
    turns,
    logger: silentLogger,
    logs: () => [
      {
        log,
        keys: () => table.values.keys(),
        snapshot: (key) => {
          const value = table.values.get(key)
          return value === undefined ? [] : [record(key, value)]
        },
      },
    ],
    minBytes: 2000,
  })
  const set = (key: string, value: string | null) =>
    turns.run(key, async () => {
      await log.append([record(key, value)])
      table.apply([[key, value]])
    })
  const replayed = async () => {
    const again = new Table()
    await CoordinatorLog.open({ store, logId, nowMs }, again.replay)
    return again
  }
  const state = async () => (await store.state([logId]))[0]!
  return { store, logId, log, table, rewrite, set, replayed, state }
}

test('a log that outgrew its state begins with the state, and one that did not is left alone', async () => {
  const { rewrite, set, replayed, table, state } = await setUp()
  for (let index = 0; index < 200; index++) await set(`key ${index % 10}`, `value ${index}`)
  await set('key 3', null)
  const before = await state()
  await rewrite.check()
  const after = await state()
  expect(after.logStartOffset).toBe(before.highWatermark)
  expect(after.highWatermark - after.logStartOffset).toBe(9)
  await rewrite.check()
  expect(await state()).toEqual(after)
  expect((await replayed()).values).toEqual(table.values)
})

test('changes that come while it runs are kept, in their order', async () => {
  const { rewrite, set, replayed, table } = await setUp()
  for (let index = 0; index < 300; index++) await set(`key ${index}`, `value ${index}`)
  const running = rewrite.check()
  await Promise.all(
    Array.from({ length: 300 }, async (_, index) => {
      await set(`key ${index}`, index % 3 === 0 ? null : `new ${index}`)
      await set(`later ${index}`, 'new')
    }),
  )
  await running
  expect((await replayed()).values).toEqual(table.values)
  expect(table.values.size).toBe(500)
})

test('what an open transaction wrote stays, also when it ends while the rewrite runs', async () => {
  const { rewrite, set, replayed, table, log, state } = await setUp()
  for (let index = 0; index < 100; index++) await set('key', `value ${index}`)
  const producer = { producerId: 5, producerEpoch: 0 }
  await log.append([record('key', 'from the transaction')], producer)
  for (let index = 0; index < 100; index++) await set(`other ${index}`, 'x')
  const running = rewrite.check()
  await log.appendMarker(producer, true, 0)
  table.apply([['key', 'from the transaction']])
  await running
  expect((await state()).logStartOffset).toBe(100)
  expect((await replayed()).values).toEqual(table.values)
  expect(table.values.get('key')).toBe('from the transaction')
})
