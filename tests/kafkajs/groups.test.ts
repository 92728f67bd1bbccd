import type { PartitionAssigner } from 'streambus/kafkajs'
import { AssignerProtocol } from 'streambus/kafkajs'
import { describe, expect, test } from 'vitest'
import { type Client, clients, fill, quick, start, until } from './clients.ts'

const [[, kafkajs], [, shim]] = clients as [[string, Client], [string, Client]]

/** Which partitions each of two members was given last, and what they have seen. */
async function twoMembers(first: Client, second: Client) {
  const setup = await start(first)
  await fill(setup, 'topic', 0, 4)
  const other = new second.Kafka({
    clientId: 'other',
    brokers: [setup.broker.address],
    logLevel: second.logLevel.NOTHING,
  })
  const assigned: number[][] = [[], []]
  const seen: string[][] = [[], []]
  const leaders: boolean[] = []
  const members = [setup.kafka, other].map((kafka, index) => {
    const consumer = kafka.consumer({ groupId: 'group', ...quick })
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      assigned[index] = [...(payload.memberAssignment.topic ?? [])]
      leaders[index] = payload.isLeader
      expect(payload.groupProtocol).toBe('RoundRobinAssigner')
    })
    return {
      join: async () => {
        await consumer.connect()
        await consumer.subscribe({ topics: ['topic'], fromBeginning: true })
        await consumer.run({
          eachMessage: async ({ partition, message }) =>
            void seen[index]!.push(`${partition} ${String(message.value)}`),
        })
      },
      leave: () => consumer.disconnect(),
    }
  })
  const producer = setup.kafka.producer()
  await producer.connect()
  setup.clean(producer)
  return { setup, members, assigned, seen, leaders, producer }
}

describe.each([
  ['two members of ours', shim, shim],
  ['a member of kafkajs that leads and one of ours', kafkajs, shim],
  ['a member of ours that leads and one of kafkajs', shim, kafkajs],
] as const)('%s', (_, first, second) => {
  test('share the partitions, take over from each other, and handle every message once', async () => {
    const { setup, members, assigned, seen, leaders, producer } = await twoMembers(first, second)
    await using _setup = setup
    const [one, other] = members as [(typeof members)[0], (typeof members)[0]]
    const send = async (value: string) => {
      const messages = [0, 1, 2, 3].map((partition) => ({ value, partition }))
      await producer.send({ topic: 'topic', messages })
    }
    await one.join()
    expect(assigned[0]).toEqual([0, 1, 2, 3])
    await send('a')
    await until(() => seen[0]!.length === 4)
    await other.join()
    await until(() => assigned[0]!.length === 2 && assigned[1]!.length === 2)
    expect(leaders).toEqual([true, false])
    await send('b')
    await until(() => seen[0]!.length + seen[1]!.length === 8)
    await one.leave()
    await until(() => assigned[1]!.length === 4)
    await send('c')
    await until(() => seen[0]!.length + seen[1]!.length === 12)
    await other.leave()
    const all = ['a', 'b', 'c'].flatMap((value) => [0, 1, 2, 3].map((partition) => `${partition} ${value}`))
    expect([...seen[0]!, ...seen[1]!].sort()).toEqual(all.sort())
  })
})

describe.each(clients)('%s', (_, client) => {
  test('a rebalance is told of, and a handler that beats its heart stops for it', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 3)
    const consumer = setup.kafka.consumer({ groupId: 'group', ...quick })
    const second = setup.kafka.consumer({ groupId: 'group', ...quick })
    setup.clean(second, consumer)
    const events: string[] = []
    consumer.on(consumer.events.REBALANCING, () => events.push('rebalancing'))
    consumer.on(consumer.events.GROUP_JOIN, () => events.push('joined'))
    await consumer.connect()
    await consumer.subscribe({ topics: ['topic'], fromBeginning: true })
    const failures: string[] = []
    await consumer.run({
      eachBatchAutoResolve: false,
      eachBatch: async ({ heartbeat, isRunning }) => {
        while (isRunning()) {
          await new Promise((resolve) => setTimeout(resolve, 20))
          try {
            await heartbeat()
          } catch (error) {
            failures.push((error as { type: string }).type)
            throw error
          }
        }
      },
    })
    await second.connect()
    await second.subscribe({ topics: ['topic'], fromBeginning: true })
    await second.run({ eachBatchAutoResolve: false, eachBatch: async () => {} })
    await until(() => events.length === 3)
    expect(events).toEqual(['joined', 'rebalancing', 'joined'])
    expect(failures[0]).toBe('REBALANCE_IN_PROGRESS')
  })

  test('an assigner of the program shares out the partitions', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 0, 3)
    const calls: string[][] = []
    const allToOne: PartitionAssigner = ({ cluster, groupId }) => ({
      name: `all to one of ${groupId}`,
      version: 1,
      async assign({ members, topics }) {
        calls.push(topics)
        const metadata = members.map(({ memberMetadata }) =>
          AssignerProtocol.MemberMetadata.decode(memberMetadata),
        )
        expect(metadata.map((one) => one?.topics)).toEqual(members.map(() => ['topic']))
        expect(metadata.map((one) => String(one?.userData))).toEqual(members.map(() => 'my rack'))
        const partitions = cluster.findTopicPartitionMetadata('topic').map(({ partitionId }) => partitionId)
        return members.map(({ memberId }, index) => ({
          memberId,
          memberAssignment: AssignerProtocol.MemberAssignment.encode({
            version: this.version,
            assignment: index === 0 ? { topic: partitions } : {},
            userData: Buffer.alloc(0),
          }),
        }))
      },
      protocol({ topics }) {
        const userData = Buffer.from('my rack')
        return {
          name: this.name,
          metadata: AssignerProtocol.MemberMetadata.encode({ version: this.version, topics, userData }),
        }
      },
    })
    const consumer = setup.kafka.consumer({ groupId: 'group', partitionAssigners: [allToOne], ...quick })
    setup.clean(consumer)
    const joined: unknown[] = []
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) =>
      joined.push([payload.groupProtocol, payload.memberAssignment]),
    )
    await consumer.connect()
    await consumer.subscribe({ topics: ['topic'] })
    await consumer.run({ eachMessage: async () => {} })
    await until(() => joined.length === 1)
    expect(joined).toEqual([['all to one of group', { topic: [0, 1, 2] }]])
    expect(calls).toEqual([['topic']])
  })
})
