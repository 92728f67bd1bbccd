import { encodeRecordBatch } from '@streambus/protocol'
import { type LogId, type LogStore, MemoryLogStore, StorageError } from '@streambus/storage'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { settled, VirtualScheduler } from '../groups/testing/virtual-scheduler.ts'
import { TopicSettingsTable } from '../settings/topic-settings.ts'
import { CapturedLog } from '../testing/captured-log.ts'
import { withOverrides } from '../testing/controlled-store.ts'
import { LogLife } from './log-life.ts'

const CHECK_MS = 300_000
const BACKOFF_MS = 15_000
const RETENTION_MS = 3_600_000

let time: VirtualScheduler
let store: LogStore
let log: CapturedLog

beforeEach(async () => {
  time = new VirtualScheduler()
  store = await MemoryLogStore.open({ clock: () => time.nowMs() })
  log = new CapturedLog()
})

afterEach(() => store.close())

function logLifeOf(store: LogStore): LogLife {
  return new LogLife({
    store,
    scheduler: time,
    topicSettings: new TopicSettingsTable(store.maxBatchBytes),
    log,
    retentionCheckIntervalMs: CHECK_MS,
    cleanerBackoffMs: BACKOFF_MS,
  })
}

async function filledTopic(name: string, partitions: number): Promise<readonly LogId[]> {
  const configs = { 'retention.ms': String(RETENTION_MS) }
  const { logs } = await store.createTopic({ name, partitions, configs })
  const bytes = encodeRecordBatch([{ value: 'x', timestamp: time.nowMs() }])
  await store.append(logs.map((logId) => ({ logId, bytes })))
  return logs
}

async function startsOf(logs: readonly LogId[]): Promise<number[]> {
  return (await store.state(logs)).map(({ logStartOffset }) => logStartOffset)
}

test('a partition whose records cannot be deleted holds up no other, and is told of once until it works again', async () => {
  const logs = await filledTopic('t', 3)
  let isBroken = true
  const life = logLifeOf(
    withOverrides(store, {
      expiredUpTo: async (logId, limits) => {
        if (isBroken && logId === logs[1]) throw new StorageError('READ_FAILED', 'the disk is old')
        return await store.expiredUpTo(logId, limits)
      },
    }),
  )
  life.start()
  await time.pass(RETENTION_MS + 3 * CHECK_MS)
  expect(await startsOf(logs)).toEqual([1, 0, 1])
  const told = { level: 'warn', fields: { error: 'the disk is old' } }
  const message = 'could not delete what is past its retention in t-1'
  expect(log.lines).toEqual([{ ...told, message }])
  isBroken = false
  await time.pass(CHECK_MS)
  expect(await startsOf(logs)).toEqual([1, 1, 1])
  isBroken = true
  await time.pass(CHECK_MS)
  expect(log.lines).toEqual([
    { ...told, message },
    { ...told, message },
  ])
  await life.close()
})

test('a partition of a topic that was deleted is forgotten: one of the same name is told of again', async () => {
  await filledTopic('t', 1)
  const life = logLifeOf(
    withOverrides(store, {
      expiredUpTo: () => Promise.reject(new StorageError('READ_FAILED', 'the disk is old')),
    }),
  )
  life.start()
  await time.pass(2 * CHECK_MS)
  expect(log.lines).toHaveLength(1)
  await store.deleteTopic(store.topics.byName('t')!.id)
  await time.pass(CHECK_MS)
  await filledTopic('t', 1)
  await time.pass(2 * CHECK_MS)
  expect(log.lines.map(({ message }) => message)).toEqual([
    'could not delete what is past its retention in t-0',
    'could not delete what is past its retention in t-0',
  ])
  await life.close()
})

test('a topic that is deleted during a check is no failure', async () => {
  const logs = await filledTopic('t', 2)
  let deletion: Promise<void> | undefined
  const life = logLifeOf(
    withOverrides(store, {
      expiredUpTo: async (logId, limits) => {
        deletion ??= store.deleteTopic(store.topics.byName('t')!.id)
        await deletion
        return await store.expiredUpTo(logId, limits)
      },
    }),
  )
  life.start()
  await time.pass(CHECK_MS)
  expect(await store.state(logs)).toEqual([])
  expect(log.lines).toEqual([])
  await life.close()
})

test('when it is closed in the middle of a check, the rest is left alone and nothing comes after', async () => {
  const logs = await filledTopic('t', 600)
  let checked = 0
  let letGo = () => {}
  const gate = new Promise<void>((resolve) => {
    letGo = resolve
  })
  const life = logLifeOf(
    withOverrides(store, {
      expiredUpTo: async (logId, limits) => {
        checked++
        await gate
        return await store.expiredUpTo(logId, limits)
      },
    }),
  )
  life.start()
  await time.pass(CHECK_MS)
  expect(checked).toBeGreaterThan(0)
  const inProgress = checked
  let isClosed = false
  const closing = life.close().then(() => {
    isClosed = true
  })
  await settled()
  expect(isClosed).toBe(false)
  letGo()
  await closing
  expect(checked).toBe(inProgress)
  expect(inProgress).toBeLessThan(logs.length)
  await time.pass(10 * CHECK_MS)
  expect(checked).toBe(inProgress)
})

test('the store works on in steps as long as there is more to do, and then is asked now and then', async () => {
  let steps = 0
  const life = logLifeOf(
    withOverrides(store, {
      maintain: async () => {
        steps++
        return { bytes: 1, isMore: steps < 5 }
      },
    }),
  )
  life.start()
  await time.pass(BACKOFF_MS - 1)
  expect(steps).toBe(0)
  await time.pass(BACKOFF_MS)
  expect(steps).toBe(5)
  await time.pass(BACKOFF_MS)
  expect(steps).toBe(6)
  await life.close()
})

test('what was done and what failed is counted, from the start on', async () => {
  const startedMs = time.nowMs()
  const logs = await filledTopic('t', 3)
  const [{ sizeBytes } = { sizeBytes: 0 }] = await store.state(logs)
  let isBroken = false
  const life = logLifeOf(
    withOverrides(store, {
      maintain: async (...of) => {
        if (isBroken) throw new StorageError('DISK_FULL', 'no room')
        return await store.maintain(...of)
      },
    }),
  )
  life.start()
  await time.pass(CHECK_MS)
  expect(life.metrics()).toMatchObject({
    sinceMs: startedMs,
    liveBytes: 3 * sizeBytes,
    failures: 0,
    lastFailure: null,
  })
  // The newest batch goes as well.
  await time.pass(RETENTION_MS + CHECK_MS)
  const { retention, liveBytes } = life.metrics()
  expect(retention.checks).toBeGreaterThan(RETENTION_MS / CHECK_MS)
  expect(retention.freedBytes).toBe(3 * sizeBytes)
  expect(liveBytes).toBe(0)
  isBroken = true
  await time.pass(2 * BACKOFF_MS)
  const { failures, lastFailure } = life.metrics()
  // Each is counted, though one line tells of them.
  expect(failures).toBe(2)
  expect(lastFailure).toEqual({
    atMs: expect.any(Number),
    message: 'could not compact and merge logs: no room',
  })
  expect(log.lines).toHaveLength(1)
  await life.close()
})
