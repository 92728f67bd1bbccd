import { setImmediate as nextTurn } from 'node:timers/promises'
import type { StreamBus } from 'streambus'
import { eventually, startTestBroker, type TestBroker } from 'streambus/testing'
import { expect, test } from 'vitest'

const HOUR_MS = 3_600_000
/** Longer than the interval at which retention is checked. */
const CHECKED_MS = 600_000

const send = (broker: TestBroker, bus: StreamBus, topic: string, value: string) =>
  bus.producer().send(topic, value, { timestamp: broker.clock.nowMs() })

async function startOf({ admin }: StreamBus, topic: string): Promise<number | null> {
  return (await admin.listOffsets([{ topic, partition: 0, at: 'earliest' }]))[0]!.offset
}

async function sizeOf({ admin }: StreamBus, topic: string): Promise<number> {
  const [folder] = await admin.describeLogDirs()
  return folder!.replicas.find((one) => one.topic === topic)!.sizeBytes
}

for (const onDisk of [false, true]) {
  const where = onDisk ? 'on disk' : 'in memory'

  test(`readers whose next message has gone (${where})`, async () => {
    await using broker = await startTestBroker({ onDisk, clock: 'virtual' })
    const bus = await broker.connect()
    await bus.admin.createTopic('t', { configs: { 'retention.ms': String(HOUR_MS) } })
    for (const value of ['a', 'b', 'c']) await send(broker, bus, 't', value)
    const read = async (options: { from?: number | 'earliest'; group?: string; limit?: number }) => {
      const values: (string | null)[] = []
      for await (const message of bus.consumer('t', { until: 'end', ...options })) values.push(message.text())
      return values
    }
    expect(await read({ group: 'g', limit: 1 })).toEqual(['a'])
    const [committed] = await bus.admin.fetchOffsets('g')
    expect(committed).toMatchObject({ offset: 1 })
    const sizeBytes = await sizeOf(bus, 't')
    await broker.clock.advance(HOUR_MS / 2)
    await send(broker, bus, 't', 'd')
    await broker.clock.advance(HOUR_MS / 2 + CHECKED_MS)
    await eventually(async () => expect(await startOf(bus, 't')).toBe(3))
    // One of the four messages is left, all of them alike.
    expect(await sizeOf(bus, 't')).toBe(sizeBytes / 3)
    await expect(read({ from: 1 })).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' })
    expect(await read({ from: 'earliest' })).toEqual(['d'])
    expect(await read({ group: 'g' })).toEqual(['d'])
  })

  test(`a topic goes by the time of its producers, or by that of the broker, as it says (${where})`, async () => {
    await using broker = await startTestBroker({ onDisk, clock: 'virtual' })
    const bus = await broker.connect()
    const configs = { 'retention.ms': String(HOUR_MS) }
    await bus.admin.createTopic('created', { configs })
    await bus.admin.createTopic('appended', {
      configs: { ...configs, 'message.timestamp.type': 'LogAppendTime' },
    })
    const timestamp = broker.clock.nowMs() - 2 * HOUR_MS
    for (const topic of ['created', 'appended']) await bus.producer().send(topic, 'x', { timestamp })
    await broker.clock.advance(CHECKED_MS)
    await eventually(async () => expect(await startOf(bus, 'created')).toBe(1))
    expect(await startOf(bus, 'appended')).toBe(0)
    await broker.clock.advance(HOUR_MS)
    await eventually(async () => expect(await startOf(bus, 'appended')).toBe(1))
  })

  test(`what is younger than an open transaction stays with it (${where})`, async () => {
    await using broker = await startTestBroker({ onDisk, clock: 'virtual' })
    const bus = await broker.connect()
    await bus.admin.createTopic('t', { configs: { 'retention.ms': '60000' } })
    await send(broker, bus, 't', 'before')
    const producer = bus.producer({ transactionalId: 'tx', transactionTimeoutMs: 900_000 })
    await producer.transaction(async (transaction) => {
      await transaction.send('t', 'within', { timestamp: broker.clock.nowMs() })
      await send(broker, bus, 't', 'after')
      await broker.clock.advance(CHECKED_MS)
      await eventually(async () => expect(await startOf(bus, 't')).toBe(1))
      await broker.clock.advance(CHECKED_MS / 2)
      expect(await startOf(bus, 't')).toBe(1)
    })
    await broker.clock.advance(CHECKED_MS)
    await eventually(async () => expect(await startOf(bus, 't')).toBe(3))
  })

  test(`a topic is deleted and made anew while clients write to it and read it (${where})`, async () => {
    await using broker = await startTestBroker({ onDisk, autoCreateTopics: false })
    const bus = await broker.connect()
    const { admin } = bus
    await admin.createTopic('t')
    const offsets: number[] = []
    let isOver = false
    const writing = (async () => {
      while (!isOver) {
        offsets.push((await bus.producer().send('t', 'x'.repeat(1_000))).offset)
        await nextTurn()
      }
    })()
    let received = 0
    const reading = (async () => {
      for await (const message of bus.consumer('t')) expect(message.offset).toBe(received++)
    })().catch((error: unknown) => error)
    await eventually(() => expect(Math.min(offsets.length, received)).toBeGreaterThan(20))
    await admin.deleteTopic('t')
    await admin.createTopic('t')
    expect(await reading).toMatchObject({ code: 'TOPIC_RECREATED' })
    await eventually(() => expect(offsets.lastIndexOf(0)).toBeGreaterThan(20))
    isOver = true
    await writing
    // What was acknowledged since is there, and nothing of before: each log was written from 0 on without a gap.
    const again = offsets.lastIndexOf(0)
    expect(offsets).toEqual(offsets.map((_, index) => (index < again ? index : index - again)))
    expect(await broker.produced('t')).toHaveLength(offsets.length - again)
  })
}
