import { execFileSync } from 'node:child_process'
import { eventually, startTestBroker } from 'streambus/testing'
import { expect, test } from 'vitest'
import { needsStreamBus } from './test-bus.ts'

test('a member that leaves while it joins leaves no timer behind: its process ends', (context) => {
  needsStreamBus(context, 'the clock of its broker is virtual')
  const script = `
    import { eventually, startTestBroker } from 'streambus/testing'
    const broker = await startTestBroker({ clock: 'virtual' })
    await broker.createTopic('t')
    const bus = await broker.connect()
    const { admin } = await broker.connect()
    broker.faults.delay({ api: 'SyncGroup', delayMs: 1_000 })
    broker.faults.delay({ api: 'LeaveGroup', delayMs: 60_000 })
    const consumer = bus.consumer('t', { group: 'g', heartbeatIntervalMs: 600_000 })
    const reading = consumer[Symbol.asyncIterator]().next()
    await eventually(async () => (await admin.describeGroup('g')).state === 'CompletingRebalance')
    const leaving = consumer.close()
    // It gets its assignment while it waits for the answer to its farewell.
    await broker.clock.advance(1_000)
    await Promise.all([leaving, reading])
    await broker.close()
  `
  execFileSync(
    process.execPath,
    ['--import', 'tsx', '--conditions=streambus-source', '--input-type=module', '-e', script],
    { stdio: 'pipe', timeout: 50_000 },
  )
})

test('a consumer whose last commit is not answered is closed all the same, and says so', async (context) => {
  needsStreamBus(context, 'its broker is told not to answer')
  await using broker = await startTestBroker()
  const bus = await broker.connect({ clientId: 'unheard', requestTimeoutMs: 300_000, retryTimeoutMs: 500 })
  await bus.producer().send('t', 'x')
  const consumer = bus.consumer('t', { group: 'g' })
  const messages = consumer[Symbol.asyncIterator]()
  await messages.next()
  broker.faults.delay({ api: 'OffsetCommit', clientId: 'unheard', delayMs: 200_000 })
  // The one before is not answered either.
  const refused = expect(consumer.commit()).rejects.toMatchObject({ code: 'CLOSED' })
  await expect(consumer.close()).rejects.toMatchObject({ code: 'REQUEST_TIMEOUT' })
  await refused
  const { admin } = await broker.connect()
  expect((await admin.describeGroup('g')).members).toEqual([])
})

test('a member goes on while the coordinator takes no commits for long, and commits when it does again', async (context) => {
  needsStreamBus(context, 'its broker is told to refuse')
  await using broker = await startTestBroker()
  const warnings: string[] = []
  const logger = { debug() {}, warn: (message: string) => warnings.push(message) }
  const bus = await broker.connect({ clientId: 'patient', retryTimeoutMs: 50, retryBackoffMs: 1, logger })
  const { admin } = await broker.connect()
  const producer = bus.producer()
  broker.faults.refuse({
    api: 'OffsetCommit',
    clientId: 'patient',
    errorCode: 'COORDINATOR_LOAD_IN_PROGRESS',
  })
  const consumer = bus.consumer('t', { group: 'g', autoCommitIntervalMs: 5 })
  const messages = consumer[Symbol.asyncIterator]()
  for (let handled = 0; warnings.filter((warning) => /cannot commit/.test(warning)).length < 3; handled++) {
    await producer.send('t', String(handled))
    expect((await messages.next()).value?.text()).toBe(String(handled))
  }
  broker.faults.clear()
  await eventually(async () => (await admin.fetchOffsets('g')).some(({ offset }) => offset > 0))
  await consumer.close()
})
