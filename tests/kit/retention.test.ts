import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'streambus'
import { eventually, startTestBroker } from 'streambus/testing'
import { expect, test } from 'vitest'

const HOUR_MS = 3_600_000

for (const onDisk of [false, true]) {
  const where = onDisk ? 'on disk' : 'in memory'

  test(`records go when their time is over, and not before (${where})`, async () => {
    await using broker = await startTestBroker({ onDisk, clock: 'virtual' })
    const bus = await broker.connect()
    const { admin } = bus
    await admin.createTopic('t', { configs: { 'retention.ms': String(HOUR_MS) } })
    await admin.createTopic('kept', { configs: { 'retention.ms': '-1' } })
    const send = async (value: string) => {
      const timestamp = broker.clock.nowMs()
      for (const topic of ['t', 'kept']) await bus.producer().send(topic, value, { timestamp })
    }
    const startOf = async (topic: string) =>
      (await admin.listOffsets([{ topic, partition: 0, at: 'earliest' }]))[0]!.offset
    await send('old')
    await broker.clock.advance(HOUR_MS / 2)
    await send('young')
    expect(await startOf('t')).toBe(0)
    await broker.clock.advance(HOUR_MS / 2 + 600_000)
    await eventually(async () => expect(await startOf('t')).toBe(1))
    const values: (string | null)[] = []
    for await (const message of bus.consumer('t', { until: 'end' })) values.push(message.text())
    expect(values).toEqual(['young'])
    expect(await startOf('kept')).toBe(0)
  })

  test(`a change of the retention takes effect without a restart, and what went stays gone after one (${where})`, async () => {
    await using broker = await startTestBroker({ onDisk, retentionCheckIntervalMs: 20 })
    await broker.createTopic('t')
    const bus = await broker.connect()
    const { admin } = bus
    await bus.producer().sendBatch(
      't',
      Array.from({ length: 10 }, (_, index) => ({ value: 'x'.repeat(1_000), key: `${index}` })),
    )
    for (let index = 0; index < 10; index++) await bus.producer().send('t', 'y'.repeat(1_000))
    const startOf = async () =>
      (await admin.listOffsets([{ topic: 't', partition: 0, at: 'earliest' }]))[0]!.offset
    await sleep(60)
    expect(await startOf()).toBe(0)
    await admin.alterConfigs('t', { 'retention.bytes': '5000' })
    await eventually(async () => expect(await startOf()).toBe(15))
    await broker.restart()
    expect(await startOf()).toBe(15)
  })

  test(`a compacted topic keeps the last value of each key (${where})`, async () => {
    await using broker = await startTestBroker({ onDisk, cleanerBackoffMs: 20 })
    const configs = {
      'cleanup.policy': 'compact',
      'min.cleanable.dirty.ratio': '0.01',
      'segment.ms': '1',
      'segment.bytes': '1000',
    }
    const bus = await connect(broker.address)
    await bus.admin.createTopic('table', { configs })
    const producer = bus.producer()
    for (let round = 0; round < 20; round++) {
      await producer.sendBatch(
        'table',
        Array.from({ length: 50 }, (_, key) => ({ key: `k${key}`, value: `${round}` })),
      )
    }
    const read = async () => {
      const table = new Map<string, string | null>()
      let count = 0
      for await (const message of bus.consumer('table', { until: 'end' })) {
        table.set(String(message.key), message.text())
        count++
      }
      return { table, count }
    }
    await eventually(async () => expect((await read()).count).toBeLessThan(200))
    const { table } = await read()
    expect(table).toEqual(new Map(Array.from({ length: 50 }, (_, key) => [`k${key}`, '19'])))
    await broker.restart()
    expect((await read()).table).toEqual(table)
    await bus.close()
  })
}
