/** Groups whose broker shares out the partitions (KIP-848). */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { GroupConsumer, GroupConsumerOptions, StreamBus } from '@streambus/client'
import { eventually, startTestBroker, type TestBroker, type TestBrokerOptions } from 'streambus/testing'
import { beforeEach, expect, test } from 'vitest'
import { GroupWatch, runMember, withClients } from './group-members.ts'
import { committed, fill, gate } from './handling-setup.ts'
import { collect, failureOf, needsStreamBus, startBus } from './test-bus.ts'

beforeEach((context) => {
  needsStreamBus(
    context,
    'its broker has faults on demand; tests/kafka/consumer-protocol.spec.ts is for Kafka',
  )
})

const options = { group: 'g', groupProtocol: 'consumer' } as const
const quick: TestBrokerOptions = {
  groups: { consumerHeartbeatIntervalMs: 50, consumerSessionTimeoutMs: 1_500 },
}

const total = (offsets: Record<string, number>) => Object.values(offsets).reduce((sum, one) => sum + one, 0)
const sharesOf = (watch: GroupWatch) => Object.values(watch.shares).sort()
const numbersOf = ({ assignment }: GroupConsumer) => assignment.map(({ partition }) => partition).sort()

async function startWithTopic(partitions: number): Promise<TestBroker> {
  const broker = await startTestBroker(quick)
  await broker.createTopic('t', partitions)
  return broker
}

/** Sends so many more messages to each partition, and waits until they are processed. */
async function pass(bus: StreamBus, watch: GroupWatch, partitions: number, count: number): Promise<void> {
  const before = watch.processed.length
  await fill(bus, 't', partitions, count)
  await watch.until(() => watch.processed.length >= before + partitions * count)
}

test('members come and go: each message is processed once and no partition has two owners', async () => {
  await using broker = await startWithTopic(6)
  const watch = new GroupWatch()
  await withClients(broker.address, 4, async ([bus, one, two, three]) => {
    const a = runMember(one!, 't', 'a', watch, options)
    await watch.until(() => watch.shares.a === 6)
    await pass(bus!, watch, 6, 200)
    const b = runMember(two!, 't', 'b', watch, options)
    await watch.until(() => watch.shares.a === 3 && watch.shares.b === 3)
    await pass(bus!, watch, 6, 200)
    const c = runMember(three!, 't', 'c', watch, options)
    await watch.until(() => sharesOf(watch).join() === '2,2,2')
    await pass(bus!, watch, 6, 200)
    await a.consumer.close()
    await watch.until(() => watch.shares.b === 3 && watch.shares.c === 3)
    await pass(bus!, watch, 6, 200)
    expect(await bus!.admin.describeGroup('g')).toMatchObject({ type: 'consumer', state: 'Stable' })
    await Promise.all([b.consumer.close(), c.consumer.close()])
    await Promise.all([a.done, b.done, c.done])
    expect((await bus!.admin.describeGroup('g')).members).toEqual([])
    expect(total(await committed(bus!, 'g'))).toBe(4_800)
  })
  expect(watch.violations).toEqual([])
  expect(new Set(watch.processed).size).toBe(4_800)
  expect(watch.processed).toHaveLength(4_800)
})

test('what stays with a member is not interrupted by those who come', async () => {
  await using broker = await startWithTopic(4)
  const watch = new GroupWatch()
  await withClients(broker.address, 2, async ([one, two]) => {
    const a = runMember(one!, 't', 'a', watch, options)
    await watch.until(() => watch.shares.a === 4)
    const revoked: number[] = []
    a.consumer.on('revoked', ({ partitions }) =>
      revoked.push(...partitions.map(({ partition }) => partition)),
    )
    const b = runMember(two!, 't', 'b', watch, options)
    await watch.until(() => watch.shares.b === 2)
    expect(revoked.sort()).toEqual(numbersOf(b.consumer))
    await Promise.all([a.consumer.close(), b.consumer.close()])
  })
  expect(watch.violations).toEqual([])
})

test('a member that is killed is replaced when its session is over', async () => {
  await using broker = await startWithTopic(4)
  const child = fork(fileURLToPath(new URL('member-process.ts', import.meta.url)), [broker.address, 'g'], {
    execArgv: ['--import', 'tsx', '--conditions=streambus-source'],
  })
  let ofChild = 0
  child.on('message', (count) => {
    ofChild = count as number
  })
  // It takes a process to start, beside others.
  await eventually(() => ofChild === 4, { timeoutMs: 30_000 })
  const watch = new GroupWatch()
  const member = runMember(await broker.connect(), 't', 'a', watch, options)
  await watch.until(() => watch.shares.a === 2)
  await eventually(() => ofChild === 2)
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
  await watch.until(() => watch.shares.a === 4)
  await member.consumer.close()
})

test('a member whose heartbeats do not arrive is put out, loses what it has, and joins again', async () => {
  await using broker = await startWithTopic(2)
  const bus = await broker.connect({ clientId: 'away' })
  await fill(bus, 't', 2, 5)
  const events: string[] = []
  const consumer = bus.consumer('t', {
    ...options,
    autoCommit: false,
    onAssigned: (partitions) => events.push(`assigned ${partitions.length}`),
    onRevoked: (partitions, lost) => events.push(`${lost ? 'lost' : 'revoked'} ${partitions.length}`),
  })
  const messages = consumer[Symbol.asyncIterator]()
  await messages.next()
  const { members } = await bus.admin.describeGroup('g')
  broker.faults.delay({ api: 'ConsumerGroupHeartbeat', clientId: 'away', delayMs: 2_000, times: 1 })
  await eventually(async () => (await bus.admin.describeGroup('g')).members.length === 0)
  // Nobody told it yet; the coordinator refuses what it commits.
  expect(await failureOf(consumer.commit())).toMatchObject({ code: 'PARTITIONS_LOST' })
  await eventually(() => events.length === 3)
  expect(events).toEqual(['assigned 2', 'lost 2', 'assigned 2'])
  expect((await bus.admin.describeGroup('g')).members[0]?.memberId).toBe(members[0]!.memberId)
  expect((await messages.next()).value).toMatchObject({ offset: 0 })
  await consumer.commit()
  await consumer.close()
})

test('a fenced epoch and a group that was forgotten are both a reason to join again', async () => {
  await using broker = await startWithTopic(2)
  const watch = new GroupWatch()
  const member = runMember(await broker.connect(), 't', 'a', watch, options)
  let lost = 0
  member.consumer.on('lost', () => lost++)
  for (const [index, errorCode] of (['FENCED_MEMBER_EPOCH', 'GROUP_ID_NOT_FOUND'] as const).entries()) {
    await watch.until(() => watch.shares.a === 2)
    broker.faults.refuse({ api: 'ConsumerGroupHeartbeat', errorCode, times: 1 })
    await eventually(() => lost === index + 1)
  }
  await watch.until(() => watch.shares.a === 2)
  await member.consumer.close()
})

test('a commit of an epoch that has passed is repeated with the new one', async () => {
  await using broker = await startWithTopic(1)
  const bus = await broker.connect()
  await fill(bus, 't', 1, 3)
  const consumer = bus.consumer('t', { ...options, autoCommit: false })
  const messages = consumer[Symbol.asyncIterator]()
  await messages.next()
  broker.faults.refuse({ api: 'OffsetCommit', errorCode: 'STALE_MEMBER_EPOCH', times: 2 })
  await consumer.commit()
  expect(await committed(bus, 'g')).toEqual({ 't/0': 1 })
  await consumer.close()
})

test('members keep what they have over a restart of the broker', async () => {
  await using broker = await startWithTopic(4)
  const watch = new GroupWatch()
  await withClients(broker.address, 3, async ([bus, one, two]) => {
    const a = runMember(one!, 't', 'a', watch, options)
    const b = runMember(two!, 't', 'b', watch, options)
    await watch.until(() => sharesOf(watch).join() === '2,2')
    const lost: unknown[] = []
    for (const { consumer } of [a, b]) consumer.on('lost', (details) => lost.push(details))
    await pass(bus!, watch, 4, 100)
    await broker.restart()
    await pass(bus!, watch, 4, 100)
    expect(lost).toEqual([])
    expect(sharesOf(watch)).toEqual([2, 2])
    await Promise.all([a.consumer.close(), b.consumer.close()])
    expect(total(await committed(bus!, 'g'))).toBe(800)
  })
  expect(watch.violations).toEqual([])
  expect(new Set(watch.processed).size).toBe(800)
})

test('partitions that are added find an owner', async () => {
  await using broker = await startWithTopic(1)
  const bus = await broker.connect()
  await broker.createTopic('u', 1)
  const consumer = bus.consumer(['t', 'u'], options)
  const messages = consumer[Symbol.asyncIterator]()
  const arriving = messages.next()
  await eventually(() => consumer.assignment.length === 2)
  await bus.admin.createPartitions('t', 3)
  await eventually(() => consumer.assignment.length === 4)
  await bus.producer().send('t', 'new', { partition: 2 })
  expect((await arriving).value).toMatchObject({ partition: 2 })
  await consumer.close()
})

test('a static member keeps its partitions over a restart; another of its name is refused while it runs', async () => {
  await using broker = await startWithTopic(2)
  await withClients(broker.address, 2, async ([bus, other]) => {
    await fill(bus!, 't', 1, 4)
    const watch = new GroupWatch()
    const second = runMember(other!, 't', 'b', watch, { ...options, instanceId: 'two' })
    await watch.until(() => watch.shares.b === 2)
    const asOne: GroupConsumerOptions = { ...options, instanceId: 'one' }
    const one = bus!.consumer('t', asOne)
    const ended = collect(one)
    await eventually(() => one.assignment.length === 1)
    const had = one.assignment
    await one.close()
    await ended
    // It is waited for: what it had is nobody else's.
    expect(numbersOf(second.consumer)).toHaveLength(1)
    const again = bus!.consumer('t', asOne)
    const reading = collect(again)
    await eventually(() => again.assignment.length === 1)
    expect(again.assignment).toEqual(had)
    await again.close()
    await reading
    const stalls: string[] = []
    await using impatient = await broker.connect({ retryTimeoutMs: 300 })
    const usurper = impatient.consumer('t', { ...options, instanceId: 'two' })
    usurper.on('stalled', (stall) => stalls.push(stall.cause === 'coordinator' ? stall.error.code : ''))
    expect(await failureOf(collect(usurper))).toMatchObject({
      code: 'INSTANCE_ID_IN_USE',
      message: "Group 'g' has a member with instanceId 'two', which runs, or did a moment ago.",
    })
    expect(stalls).toEqual(['INSTANCE_ID_IN_USE'])
    await second.consumer.close()
  })
})

test('a group goes over to the other protocol and back while it is read', async () => {
  await using broker = await startWithTopic(4)
  const watch = new GroupWatch()
  await withClients(broker.address, 5, async ([bus, ...clients]) => {
    const classic = { group: 'g', assignors: ['cooperative-sticky'] } as const
    const a = runMember(clients[0]!, 't', 'a', watch, classic)
    const b = runMember(clients[1]!, 't', 'b', watch, classic)
    await watch.until(() => sharesOf(watch).join() === '2,2')
    await pass(bus!, watch, 4, 100)
    const c = runMember(clients[2]!, 't', 'c', watch, options)
    await watch.until(() => sharesOf(watch).join() === '1,1,2')
    expect(await bus!.admin.describeGroup('g')).toMatchObject({ type: 'consumer' })
    await pass(bus!, watch, 4, 100)
    await a.consumer.close()
    await watch.until(() => watch.shares.b === 2 && watch.shares.c === 2)
    await b.consumer.close()
    await watch.until(() => watch.shares.c === 4)
    await pass(bus!, watch, 4, 100)
    const d = runMember(clients[3]!, 't', 'd', watch, classic)
    await watch.until(() => sharesOf(watch).join() === '2,2')
    await c.consumer.close()
    await watch.until(() => watch.shares.d === 4)
    await eventually(async () => (await bus!.admin.describeGroup('g')).type === 'classic')
    await pass(bus!, watch, 4, 100)
    await d.consumer.close()
    await Promise.all([a, b, c, d].map(({ done }) => done))
    expect(total(await committed(bus!, 'g'))).toBe(1_600)
  })
  expect(watch.violations).toEqual([])
  expect(new Set(watch.processed).size).toBe(1_600)
  expect(watch.processed).toHaveLength(1_600)
})

test('`until: end` and `limit` end, and reading goes on where the group has come to', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 2, 5)
  const first = await collect(bus.consumer('t', { ...options, limit: 4 }))
  const rest = await collect(bus.consumer('t', { ...options, until: 'end' }))
  const places = [...first, ...rest].map(({ partition, offset }) => `${partition}/${offset}`)
  expect(new Set(places).size).toBe(10)
  expect(places).toHaveLength(10)
  expect(await committed(bus, 'g')).toEqual({ 't/0': 5, 't/1': 5 })
})

test('a handler that holds up a revocation keeps its partition until it ends', async () => {
  await using broker = await startWithTopic(2)
  await withClients(broker.address, 2, async ([one, two]) => {
    await fill(one!, 't', 2, 1)
    const busy = gate()
    const consumer = one!.consumer('t', options)
    const started: number[] = []
    const ended: number[] = []
    const done = consumer.consume(
      async ({ partition }) => {
        started.push(partition)
        await busy.opened
        ended.push(partition)
      },
      { concurrency: 2 },
    )
    await eventually(() => started.length === 2)
    const other = two!.consumer('t', options)
    const reading = collect(other)
    await eventually(async () => (await one!.admin.describeGroup('g')).members.length === 2)
    expect(other.assignment).toEqual([])
    busy.open()
    await eventually(() => other.assignment.length === 1)
    expect(ended.sort()).toEqual([0, 1])
    expect((await committed(one!, 'g'))[`t/${other.assignment[0]!.partition}`]).toBe(1)
    await Promise.all([consumer.close(), other.close()])
    await Promise.all([done, reading])
  })
})

test('process() is exactly once while workers come and go', async () => {
  await using broker = await startWithTopic(4)
  await withClients(broker.address, 3, async ([bus, one, two]) => {
    await bus!.admin.createTopic('out', { partitions: 1 })
    const work = { from: 't', to: 'out', ...options, maxTransactionMessages: 20 }
    const copy = (message: { partition: number; offset: number }) => ({
      value: `${message.partition}/${message.offset}`,
    })
    const first = one!.process(work, copy)
    await fill(bus!, 't', 4, 200)
    const second = two!.process(work, copy)
    await eventually(() => second.assignment.length === 2)
    await fill(bus!, 't', 4, 200)
    await eventually(async () => total(await committed(bus!, 'g')) > 800)
    await first.close()
    await eventually(() => second.assignment.length === 4)
    await eventually(async () => total(await committed(bus!, 'g')) === 1_600, { timeoutMs: 20_000 })
    await second.close()
    const values = (await collect(bus!.consumer('out', { until: 'end' }))).map((message) => message.text())
    expect(new Set(values).size).toBe(1_600)
    expect(values).toHaveLength(1_600)
  })
})

test('a member leaves at once, also while it joins', async () => {
  await using broker = await startWithTopic(1)
  const bus = await broker.connect()
  broker.faults.delay({ api: 'ConsumerGroupHeartbeat', delayMs: 200, times: 1 })
  const consumer = bus.consumer('t', options)
  const reading = collect(consumer)
  await new Promise((resolve) => setTimeout(resolve, 50))
  await consumer.close()
  await reading
  const groups = await bus.admin.listGroups()
  const members = groups.length === 0 ? [] : (await bus.admin.describeGroup('g')).members
  expect(members).toEqual([])
})

test('what cannot be is refused with what to do', async () => {
  await using broker = await startTestBroker({
    groups: { ...quick.groups!, consumerMigrationPolicy: 'disabled' },
  })
  await broker.createTopic('t')
  const bus = await broker.connect()
  const wrong: [object, string][] = [
    [{ groupProtocol: 'shared' }, "groupProtocol can be 'classic' or 'consumer', and is 'shared'."],
    [
      { remoteAssignor: 'range' },
      "remoteAssignor has no meaning without groupProtocol: 'consumer'; see assignors.",
    ],
    [
      { groupProtocol: 'consumer', remoteAssignor: '' },
      'remoteAssignor must be the name of an assignor of the broker.',
    ],
    ...['assignors', 'sessionTimeoutMs', 'heartbeatIntervalMs'].map((name): [object, string] => [
      { groupProtocol: 'consumer', [name]: 1 },
      `${name} has no meaning with groupProtocol: 'consumer': the broker shares out partitions (see remoteAssignor), and says how often to send heartbeats and how long sessions last.`,
    ]),
  ]
  for (const [given, sentence] of wrong) {
    expect(() => bus.consumer('t', { group: 'g', ...given } as GroupConsumerOptions)).toThrow(sentence)
  }
  // @ts-expect-error how long sessions last is the broker's to say
  expect(() => bus.consumer('t', { ...options, sessionTimeoutMs: 1 })).toThrow(
    'sessionTimeoutMs has no meaning',
  )
  expect(await failureOf(collect(bus.consumer('t', { ...options, remoteAssignor: 'best' })))).toMatchObject({
    code: 'UNSUPPORTED_ASSIGNOR',
    message: expect.stringContaining("Cannot be a member of group 'g' with remoteAssignor 'best'"),
  })
  const other = await broker.connect()
  const classic = other.consumer('t', { group: 'g' })
  const reading = collect(classic)
  await eventually(() => classic.assignment.length === 1)
  expect(await failureOf(collect(bus.consumer('t', options)))).toMatchObject({
    code: 'GROUP_MISMATCH',
    message: expect.stringContaining('online upgrades are switched off'),
  })
  await classic.close()
  await reading
})
