import type { AssignorName, GroupConsumer, GroupConsumerOptions, StreamBus } from '@streambus/client'
import {
  ErrorCode,
  joinGroup,
  leaveGroup,
  type OffsetCommitResponse,
  offsetCommit,
} from '@streambus/protocol'
import { expect, test } from 'vitest'
import { RawClient } from '../../packages/broker/src/testing/raw-client.ts'
import { GroupWatch, runMember, withClients } from './group-members.ts'
import { gate } from './handling-setup.ts'
import { collect, failureOf, needsStreamBus, startBus, startFlakyBus } from './test-bus.ts'

async function fill(bus: StreamBus, topic: string, count: number): Promise<void> {
  await bus.producer().sendBatch(
    topic,
    Array.from({ length: count }, (_, index) => ({ key: `k${index}`, value: `v${index}` })),
  )
}

async function committed(bus: StreamBus, group: string): Promise<Record<string, number>> {
  const offsets = await bus.admin.fetchOffsets(group)
  return Object.fromEntries(
    offsets.map(({ topic, partition, offset }) => [`${topic}/${partition}`, offset] as const).sort(),
  )
}

/** Positions that were never asked about after a start from nothing are committed as 0. */
const total = (offsets: Record<string, number>) => Object.values(offsets).reduce((sum, one) => sum + one, 0)

test.each<[string, readonly AssignorName[] | undefined]>([
  ['by giving everything up', undefined],
  ['one by one', ['roundrobin']],
  ['by giving everything up and getting most of it back', ['sticky']],
  ['by moving only what moves', ['cooperative-sticky']],
])(
  'members come and go, %s: each message is processed once and no partition has two owners',
  async (_, assignors) => {
    await using session = await startBus()
    const { bus, broker } = session
    await bus.admin.createTopic('t', { partitions: 6 })
    const watch = new GroupWatch()
    const options = { group: 'g', ...(assignors === undefined ? {} : { assignors }) }
    await withClients(broker.address, 3, async ([one, two, three]) => {
      const a = runMember(one!, 't', 'a', watch, options)
      await watch.until(() => watch.shares.a === 6)
      await fill(bus, 't', 3_000)
      const b = runMember(two!, 't', 'b', watch, options)
      await watch.until(() => watch.shares.a === 3 && watch.shares.b === 3)
      await fill(bus, 't', 3_000)
      const c = runMember(three!, 't', 'c', watch, options)
      await watch.until(() => watch.shares.a === 2 && watch.shares.b === 2 && watch.shares.c === 2)
      await fill(bus, 't', 3_000)
      await a.consumer.close()
      await watch.until(() => watch.shares.b === 3 && watch.shares.c === 3)
      await fill(bus, 't', 3_000)
      await watch.until(() => watch.processed.length >= 12_000 && new Set(watch.processed).size === 12_000)
      await Promise.all([b.consumer.close(), c.consumer.close()])
      await Promise.all([a.done, b.done, c.done])
    })
    expect(watch.violations).toEqual([])
    expect(new Set(watch.processed).size).toBe(12_000)
    // What the first member had in hand when it was closed may come again.
    expect(watch.processed.length).toBeLessThanOrEqual(12_001)
    expect(total(await committed(bus, 'g'))).toBe(12_000)
  },
)

test('reading goes on where the group has come to; the message in hand comes again unless commit() counted it', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 10)
  const read = async (stopAt: string, count: boolean) => {
    const values: (string | null)[] = []
    const consumer = bus.consumer('t', { group: 'g' })
    for await (const message of consumer) {
      values.push(message.text())
      if (message.text() !== stopAt) continue
      if (count) await consumer.commit()
      break
    }
    return values
  }
  expect(await read('v3', false)).toEqual(['v0', 'v1', 'v2', 'v3'])
  expect(await committed(bus, 'g')).toEqual({ 't/0': 3 })
  expect(await read('v5', true)).toEqual(['v3', 'v4', 'v5'])
  expect(await committed(bus, 'g')).toEqual({ 't/0': 6 })
  const rest = await collect(bus.consumer('t', { group: 'g', limit: 2 }))
  expect(rest.map((message) => message.text())).toEqual(['v6', 'v7'])
  expect(await committed(bus, 'g')).toEqual({ 't/0': 8 })
  const last = await collect(bus.consumer('t', { group: 'g', until: 'end' }))
  expect(last.map((message) => message.text())).toEqual(['v8', 'v9'])
  expect(await collect(bus.consumer('t', { group: 'g', until: 'end' }))).toEqual([])
  expect(await committed(bus, 'g')).toEqual({ 't/0': 10 })
})

test('an error in the loop leaves the group, and what failed comes again', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 3)
  const failing = async () => {
    for await (const message of bus.consumer('t', { group: 'g' })) {
      if (message.offset === 1) throw new Error('cannot be processed')
    }
  }
  expect(await failureOf(failing())).toMatchObject({ message: 'cannot be processed' })
  expect((await bus.admin.describeGroup('g')).members).toEqual([])
  expect(await committed(bus, 'g')).toEqual({ 't/0': 1 })
})

test('without autoCommit only commit() commits', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 4)
  await collect(bus.consumer('t', { group: 'g', until: 'end', autoCommit: false }))
  expect(await committed(bus, 'g')).toEqual({})
  const consumer = bus.consumer('t', { group: 'g', autoCommit: false, limit: 4 })
  for await (const message of consumer) if (message.offset === 1) await consumer.commit()
  expect(await committed(bus, 'g')).toEqual({ 't/0': 2 })
})

test('a rebalance waits for the message in hand, and commits it before the partition goes to another', async () => {
  await using session = await startBus()
  const { bus, broker } = session
  await bus.admin.createTopic('t', { partitions: 2 })
  await fill(bus, 't', 200)
  const events: string[] = []
  await withClients(broker.address, 2, async ([one, two]) => {
    const first = one!.consumer('t', {
      group: 'g',
      heartbeatIntervalMs: 50,
      onRevoked: () => events.push('first gives up'),
    })
    const messages = first[Symbol.asyncIterator]()
    await messages.next()
    const held = (await messages.next()).value as { partition: number; offset: number }
    const second = two!.consumer('t', { group: 'g', onAssigned: () => events.push('second begins') })
    const arriving = second[Symbol.asyncIterator]().next()
    let state = ''
    while (state !== 'PreparingRebalance') ({ state } = await bus.admin.describeGroup('g'))
    await new Promise((resolve) => setTimeout(resolve, 300))
    events.push('the message is processed')
    const next = messages.next()
    await Promise.all([arriving, next])
    expect(events).toEqual(['the message is processed', 'first gives up', 'second begins'])
    expect((await committed(bus, 'g'))[`t/${held.partition}`]).toBe(held.offset + 1)
  })
})

test('`limit` counts what was given out, not what a rebalance took away before', async () => {
  await using session = await startBus()
  const { bus, broker } = session
  await bus.admin.createTopic('t', { partitions: 2 })
  for (const partition of [0, 1]) {
    const messages = Array.from({ length: 100 }, (_, index) => ({ value: `v${index}`, partition }))
    await bus.producer().sendBatch('t', messages)
  }
  await withClients(broker.address, 2, async ([one, two]) => {
    const options = { group: 'g', heartbeatIntervalMs: 50 }
    const first = one!.consumer('t', { ...options, limit: 101 })[Symbol.asyncIterator]()
    await first.next()
    const second = two!.consumer('t', options)[Symbol.asyncIterator]()
    const joined = second.next()
    let state = ''
    while (state !== 'PreparingRebalance') ({ state } = await bus.admin.describeGroup('g'))
    // Until its next heartbeat the first member does not know, and would go on in its batch.
    await new Promise((resolve) => setTimeout(resolve, 300))
    const given = [await first.next()]
    await joined
    while (given.length < 99) given.push(await first.next())
    expect(given.every(({ done }) => !done)).toBe(true)
  })
})

test('a member the group has dropped learns it, joins again, and commits nothing of what it lost', async () => {
  await using session = await startBus()
  const { bus, broker } = session
  await fill(bus, 't', 5)
  const events: string[] = []
  const consumer = bus.consumer('t', {
    group: 'g',
    heartbeatIntervalMs: 50,
    autoCommit: false,
    onAssigned: () => events.push('assigned'),
    onRevoked: (_, lost) => events.push(lost ? 'lost' : 'revoked'),
  })
  const messages = consumer[Symbol.asyncIterator]()
  await messages.next()
  await messages.next()
  const raw = await RawClient.connect(broker)
  const { members } = await bus.admin.describeGroup('g')
  await raw.request(leaveGroup, 5, { groupId: 'g', members: [{ memberId: members[0]!.memberId }] })
  raw.close()
  expect(await failureOf(consumer.commit())).toMatchObject({ code: 'PARTITIONS_LOST' })
  expect(await committed(bus, 'g')).toEqual({})
  expect((await messages.next()).value).toMatchObject({ offset: 0 })
  expect(events).toEqual(['assigned', 'lost', 'assigned'])
  await consumer.commit()
  await consumer.close()
  expect(await committed(bus, 'g')).toEqual({ 't/0': 1 })
})

test('a commit that comes too late for a generation, while its member joins the next, costs no partition', async (context) => {
  needsStreamBus(context, 'its broker holds requests up and refuses them on demand')
  const joining = gate()
  const refused = gate()
  let isTold = false
  await using session = await startBus(
    {
      interceptor: async ({ api, clientId, body }, handle) => {
        const ofMember = clientId === 'member' && isTold
        if (!ofMember || api.key !== offsetCommit.key) {
          if (ofMember && api.key === joinGroup.key) {
            joining.open()
            await refused.opened
          }
          return await handle(body)
        }
        isTold = false
        refused.open()
        const { topics } = (await handle(body)) as OffsetCommitResponse
        const partitions = [{ partitionIndex: 0, errorCode: ErrorCode.ILLEGAL_GENERATION }]
        return { topics: topics.map(({ name }) => ({ name, partitions })) }
      },
    },
    { clientId: 'member' },
  )
  const { bus, broker } = session
  await fill(bus, 't', 2)
  const options: GroupConsumerOptions = {
    group: 'g',
    assignors: ['cooperative-sticky'],
    heartbeatIntervalMs: 20,
    autoCommit: false,
  }
  let lost = 0
  const consumer = bus.consumer('t', options)
  consumer.on('lost', () => lost++)
  const messages = consumer[Symbol.asyncIterator]()
  await messages.next()
  isTold = true
  await withClients(broker.address, 1, async ([other]) => {
    const second = other!.consumer('t', options)
    const reading = second[Symbol.asyncIterator]().next()
    await joining.opened
    await consumer.commit()
    expect((await messages.next()).value).toMatchObject({ offset: 1 })
    await second.close()
    await reading
  })
  await consumer.close()
  expect(lost).toBe(0)
  expect(await committed(bus, 'g')).toEqual({ 't/0': 1 })
})

test('a static member keeps its partitions over a restart, and is fenced by another of its name', async () => {
  await using session = await startBus()
  const { bus, broker } = session
  await fill(bus, 't', 4)
  const options = { group: 'g', instanceId: 'one', heartbeatIntervalMs: 50 }
  await collect(bus.consumer('t', { ...options, limit: 2 }))
  expect((await bus.admin.describeGroup('g')).members).toMatchObject([{ instanceId: 'one' }])
  await withClients(broker.address, 2, async ([one, two]) => {
    const again = one!.consumer('t', options)[Symbol.asyncIterator]()
    expect((await again.next()).value).toMatchObject({ offset: 2 })
    const usurper = two!.consumer('t', options)[Symbol.asyncIterator]()
    await usurper.next()
    const goOn = async () => {
      while (!(await again.next()).done);
    }
    expect(await failureOf(goOn())).toMatchObject({ code: 'MEMBER_FENCED' })
  })
})

test('a committed offset that the log does not hold is reported, and reading goes on from `from`', async () => {
  const warnings: string[] = []
  await using session = await startBus(
    {},
    { logger: { debug: () => {}, warn: (text) => warnings.push(text) } },
  )
  const { bus } = session
  await fill(bus, 't', 3)
  await bus.admin.commitOffsets('g', [{ topic: 't', partition: 0, offset: 99 }])
  const messages = await collect(bus.consumer('t', { group: 'g', limit: 3 }))
  expect(messages.map(({ offset }) => offset)).toEqual([0, 1, 2])
  expect(warnings).toEqual(["The log of t/0 holds offsets 0 to 3 and not 99; group 'g' goes on at 0."])
})

test('connections that are cut neither lose nor repeat what is processed and committed', async () => {
  await using session = await startFlakyBus()
  const { bus, proxy, broker } = session
  await withClients(broker.address, 1, async ([direct]) => {
    await direct!.admin.createTopic('t', { partitions: 3 })
    const watch = new GroupWatch()
    const member = runMember(bus, 't', 'a', watch, { group: 'g' })
    for (let round = 1; round <= 5; round++) {
      await fill(direct!, 't', 1_000)
      await watch.until(() => watch.processed.length >= round * 1_000 - 500)
      proxy.cut()
      await watch.until(() => watch.processed.length >= round * 1_000)
    }
    await member.consumer.close()
    await member.done
    expect(watch.processed).toHaveLength(5_000)
    expect(new Set(watch.processed).size).toBe(5_000)
    expect(total(await committed(direct!, 'g'))).toBe(5_000)
  })
})

test('a coordinator that stays away is an error, never a silent stall', async () => {
  await using session = await startFlakyBus({ retryTimeoutMs: 500 })
  const { bus, proxy } = session
  await fill(bus, 't', 1)
  const messages = bus.consumer('t', { group: 'g', heartbeatIntervalMs: 50 })[Symbol.asyncIterator]()
  await messages.next()
  proxy.refusing = true
  proxy.cut()
  expect(await failureOf(messages.next())).toMatchObject({ code: expect.stringMatching(/BROKER|CONNECTION/) })
})

test('what cannot be is refused with what to do', async () => {
  await using session = await startBus()
  const { bus } = session
  expect(() => bus.consumer('t', { group: '' })).toThrow('group must be the name of a consumer group.')
  expect(() => bus.consumer('t', { group: 'g', assignors: ['best' as AssignorName] })).toThrow(
    "assignors can be range, roundrobin, sticky, cooperative-sticky, and are 'best'.",
  )
  expect(await failureOf(collect(bus.consumer('missing', { group: 'g' })))).toMatchObject({
    code: 'UNKNOWN_TOPIC',
    message: "There is no topic 'missing' on this cluster.",
  })
  await fill(bus, 't', 1)
  expect(await failureOf(collect(bus.consumer('t', { group: 'g', sessionTimeoutMs: 1 })))).toMatchObject({
    code: 'INVALID_SESSION_TIMEOUT',
  })
  await withClients(session.broker.address, 1, async ([other]) => {
    await other!
      .consumer('t', { group: 'g', assignors: ['range'] })
      [Symbol.asyncIterator]()
      .next()
    const failure = await failureOf(
      collect(bus.consumer('t', { group: 'g', assignors: ['cooperative-sticky'] })),
    )
    expect(failure.code).toBe('GROUP_MISMATCH')
    expect(failure.message).toContain('none of cooperative-sticky')
  })
})

test('groups are listed, described, reset and deleted; not while members run', async () => {
  await using session = await startBus()
  const { bus, broker } = session
  const { admin } = bus
  await fill(bus, 't', 5)
  await admin.commitOffsets('reset', [{ topic: 't', partition: 0, offset: 2, metadata: 'by hand' }])
  expect(await admin.fetchOffsets('reset')).toEqual([
    { topic: 't', partition: 0, offset: 2, metadata: 'by hand' },
  ])
  expect(await admin.fetchOffsets('reset', [{ topic: 't', partition: 0 }])).toHaveLength(1)
  await withClients(broker.address, 1, async ([other]) => {
    await other!.consumer('t', { group: 'busy' })[Symbol.asyncIterator]().next()
    expect((await admin.listGroups()).map(({ groupId, type, state }) => [groupId, type, state])).toEqual([
      ['busy', 'classic', 'Stable'],
      ['reset', 'classic', 'Empty'],
    ])
    expect(await admin.describeGroup('busy')).toMatchObject({
      type: 'classic',
      protocolType: 'consumer',
      state: 'Stable',
      assignor: 'range',
      coordinator: { host: broker.host, port: broker.port },
      members: [{ clientId: 'streambus', host: '127.0.0.1', assigned: [{ topic: 't', partition: 0 }] }],
    })
    const offset = { topic: 't', partition: 0, offset: 0 }
    expect(await failureOf(admin.commitOffsets('busy', [offset]))).toMatchObject({ code: 'GROUP_NOT_EMPTY' })
    expect(await failureOf(admin.deleteGroup('busy'))).toMatchObject({ code: 'GROUP_NOT_EMPTY' })
    expect(await failureOf(admin.deleteOffsets('busy', [offset]))).toMatchObject({ code: 'GROUP_IN_USE' })
  })
  await admin.deleteOffsets('reset', [{ topic: 't', partition: 0 }])
  expect(await admin.fetchOffsets('reset')).toEqual([])
  await admin.deleteGroup('busy')
  for (const call of [() => admin.describeGroup('busy'), () => admin.deleteGroup('busy')]) {
    expect(await failureOf(call())).toMatchObject({
      code: 'UNKNOWN_GROUP',
      message: "There is no group 'busy' on this cluster.",
    })
  }
})

test('`sticky` gives members back what they had when others come and go', async () => {
  await using session = await startBus()
  await session.bus.admin.createTopic('t', { partitions: 6 })
  await withClients(session.broker.address, 3, async ([one, two, three]) => {
    const options = { group: 'g', assignors: ['sticky'], heartbeatIntervalMs: 50 } as const
    const numbers = ({ assignment }: GroupConsumer) => assignment.map(({ partition }) => partition).sort()
    const watch = new GroupWatch()
    const a = runMember(one!, 't', 'a', watch, options)
    const b = runMember(two!, 't', 'b', watch, options)
    await watch.until(() => watch.shares.a === 3 && watch.shares.b === 3)
    const [ofA, ofB] = [numbers(a.consumer), numbers(b.consumer)]
    const c = runMember(three!, 't', 'c', watch, options)
    await watch.until(() => watch.shares.a === 2 && watch.shares.b === 2 && watch.shares.c === 2)
    expect(ofA).toEqual(expect.arrayContaining(numbers(a.consumer)))
    expect(ofB).toEqual(expect.arrayContaining(numbers(b.consumer)))
    await Promise.all([a, b, c].map(({ consumer }) => consumer.close()))
    expect(watch.violations).toEqual([])
  })
})
