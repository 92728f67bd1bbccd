import { type LogId, MemoryLogStore, StorageError } from '@streambus/storage'
import { expect, test } from 'vitest'
import { CoordinatorLog, type Replay } from './coordinator-log.ts'
import { CONSUMER_OFFSETS, InternalTopic, partitionOf } from './internal-topics.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const textOf = (value: Uint8Array | null) => (value === null ? null : new TextDecoder().decode(value))

/** Writes down what a replay says. */
function written(): { lines: string[]; replay: Replay } {
  const lines: string[] = []
  return {
    lines,
    replay: {
      records(records, transactional) {
        const by =
          transactional === null ? '' : ` by ${transactional.producerId}/${transactional.producerEpoch}`
        for (const { offset, key, value } of records) {
          lines.push(`${offset} ${textOf(key)}=${textOf(value)}${by}`)
        }
      },
      marker({ producerId, producerEpoch }, committed) {
        lines.push(`${committed ? 'commit' : 'abort'} ${producerId}/${producerEpoch}`)
      },
    },
  }
}

async function storeWithLog(): Promise<{ store: MemoryLogStore; logId: LogId }> {
  const store = await MemoryLogStore.open()
  const { logs } = await new InternalTopic(store, CONSUMER_OFFSETS).findOrCreate()
  return { store, logId: logs[7]! }
}

const nowMs = () => 1_700_000_000_000

test('what was appended is what the next owner replays, transactions and tombstones included', async () => {
  const { store, logId } = await storeWithLog()
  const first = await CoordinatorLog.open({ store, logId, nowMs }, written().replay)
  expect(
    await first.append([
      { key: bytes('a'), value: bytes('1') },
      { key: bytes('b'), value: bytes('2') },
    ]),
  ).toBe(0)
  const producer = { producerId: 9, producerEpoch: 3 }
  expect(await first.append([{ key: bytes('a'), value: bytes('3') }], producer)).toBe(2)
  await first.appendMarker(producer, true, 0)
  await first.append([{ key: bytes('b'), value: null }])
  await first.append([{ key: bytes('c'), value: bytes('4') }], producer)
  await first.appendMarker(producer, false, 0)

  const { lines, replay } = written()
  await CoordinatorLog.open({ store, logId, nowMs }, replay)
  expect(lines).toEqual([
    '0 a=1',
    '1 b=2',
    '2 a=3 by 9/3',
    'commit 9/3',
    '4 b=null',
    '5 c=4 by 9/3',
    'abort 9/3',
  ])
})

test('a former owner can write no more, and nothing of what it tried is there', async () => {
  const { store, logId } = await storeWithLog()
  const former = await CoordinatorLog.open({ store, logId, nowMs }, written().replay)
  await former.append([{ key: bytes('a'), value: bytes('1') }])
  const owner = await CoordinatorLog.open({ store, logId, nowMs }, written().replay)
  expect(owner.ownerEpoch).toBeGreaterThan(former.ownerEpoch)
  const refused = former.append([{ key: bytes('a'), value: bytes('2') }])
  await expect(refused).rejects.toMatchObject({ code: 'FENCED_OWNER' })
  await expect(refused).rejects.toBeInstanceOf(StorageError)
  await owner.append([{ key: bytes('a'), value: bytes('3') }])
  const { lines, replay } = written()
  await CoordinatorLog.open({ store, logId, nowMs }, replay)
  expect(lines).toEqual(['0 a=1', '1 a=3'])
})

test('a replay goes on over many reads, and begins where the log begins', async () => {
  const { store, logId } = await storeWithLog()
  const log = await CoordinatorLog.open({ store, logId, nowMs }, written().replay)
  const large = 'x'.repeat(700_000)
  for (let index = 0; index < 20; index++) {
    await log.append([
      { key: bytes(`${index}`), value: bytes(large) },
      { key: bytes(`${index}+`), value: bytes('small') },
    ])
  }
  await store.advanceStart(logId, 3)
  const seen: string[] = []
  await CoordinatorLog.open(
    { store, logId, nowMs },
    {
      records(records) {
        for (const { offset, key, value } of records)
          seen.push(`${offset} ${textOf(key)} ${value?.byteLength}`)
      },
      marker() {},
    },
  )
  expect(seen).toHaveLength(37)
  expect(seen[0]).toBe('3 1+ 5')
  expect(seen[1]).toBe('4 2 700000')
  expect(seen.at(-1)).toBe('39 19+ 5')
})

test('a group lies in the partition that Kafka computes for it', () => {
  // Utils.abs(groupId.hashCode) % 50 of the Java client.
  expect(partitionOf('', 50)).toBe(0)
  expect(partitionOf('a', 50)).toBe(97 % 50)
  expect(partitionOf('hello', 50)).toBe(99162322 % 50)
  // hashCode is -2147483648, which has no absolute value.
  expect(partitionOf('polygenelubricants', 50)).toBe(0)
})

test('an internal topic is created once, however many ask for it', async () => {
  const store = await MemoryLogStore.open()
  const topic = new InternalTopic(store, CONSUMER_OFFSETS)
  expect(topic.find()).toBeUndefined()
  const [one, two] = await Promise.all([topic.findOrCreate(), topic.findOrCreate()])
  expect(one).toBe(two)
  expect(one.logs).toHaveLength(50)
  expect(one.configs).toEqual({ 'cleanup.policy': 'compact', 'compression.type': 'producer' })
})
