/** What clients can do to the group coordinator, and what the members of other groups notice of it: nothing. */
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, expect, test } from 'vitest'
import {
  formGroup,
  joinRequest,
  syncAll,
  TestMember,
} from '../../packages/broker/src/groups/testing/test-member.ts'
import type { RawClient } from '../../packages/broker/src/testing/raw-client.ts'
import { createTopic } from '../../packages/broker/src/testing/requests.ts'
import {
  consumerGroupDescribe,
  consumerGroupHeartbeat,
  deleteGroups,
  describeGroups,
  ErrorCode,
  findCoordinator,
  heartbeat,
  joinGroup,
  leaveGroup,
  listGroups,
  offsetCommit,
  offsetDelete,
  offsetFetch,
  syncGroup,
} from '../../packages/protocol/src/index.ts'
import { ensureBuilt } from '../cli/built-cli.ts'
import { type AttackedBroker, startAttacked } from './attacked-broker.ts'
import { askStrangely } from './strange-questions.ts'

const MEBIBYTE = 1024 * 1024
/** An idle broker has some 90 MiB; the attacks here may cost as much again, and garbage on top of it. */
const MAX_RSS_BYTES = 350 * MEBIBYTE
const GROUP = 'readers'

beforeAll(ensureBuilt, 120_000)

function startEager(): Promise<AttackedBroker> {
  return startAttacked(['--durability', 'os', '--set', 'group.initial.rebalance.delay.ms=0'])
}

/** A group of two members that have their partitions and have committed. */
class HealthyGroup {
  readonly #members: readonly TestMember[]

  private constructor(members: readonly TestMember[]) {
    this.#members = members
  }

  static async form(broker: AttackedBroker, topic: string): Promise<HealthyGroup> {
    const one = await TestMember.connect(broker, GROUP)
    const two = await TestMember.connect(broker, GROUP)
    const options = { sessionTimeoutMs: 60_000, topics: [topic] }
    await one.enter(options)
    await one.sync()
    await two.join(options)
    const joining = two.join(options)
    await one.hearsOfRebalance()
    const members = [one, two]
    await Promise.all([one.join(options), joining])
    await syncAll(members)
    const group = new HealthyGroup(members)
    expect(await members[0]!.commit(topic, 41)).toBe(0)
    return group
  }

  /** Everything is as it was when the group was formed. */
  async check(topic: string): Promise<void> {
    const [one, two] = this.#members
    expect([await one!.heartbeat(), await two!.heartbeat()]).toEqual([0, 0])
    expect(one!.generationId).toBe(2)
    const { groups } = await one!.client.request(offsetFetch, 8, {
      groups: [{ groupId: GROUP, topics: null }],
    })
    expect(groups[0]!.topics[0]!.partitions).toMatchObject([{ partitionIndex: 0, committedOffset: 41n }])
    const { groups: described } = await one!.client.request(describeGroups, 5, { groups: [GROUP] })
    expect(described[0]).toMatchObject({ groupState: 'Stable', members: [{}, {}] })
    expect(await two!.commit(topic, 41)).toBe(0)
  }

  close(): void {
    for (const member of this.#members) member.close()
  }
}

test('4,000 strange requests about groups are answered, and a group beside them notices nothing', async () => {
  await using broker = await startEager()
  const client = await broker.connect()
  const { topicId } = await createTopic(client, 'words', { partitions: 3 })
  client.close()
  const healthy = await HealthyGroup.form(broker, 'words')
  await askStrangely(broker, {
    requests: 4000,
    apis: [
      [offsetCommit, 0, 10],
      [offsetFetch, 0, 10],
      [findCoordinator, 0, 6],
      [joinGroup, 0, 9],
      [heartbeat, 0, 4],
      [leaveGroup, 0, 5],
      [syncGroup, 0, 5],
      [describeGroups, 0, 6],
      [listGroups, 0, 5],
      [deleteGroups, 0, 2],
      [offsetDelete, 0, 0],
      [consumerGroupHeartbeat, 0, 1],
      [consumerGroupDescribe, 0, 1],
    ],
    known: {
      groupIds: ['strange', 'stranger'],
      topics: [{ name: 'words', topicId }],
      transactionalIds: [],
      memberIds: [],
      producerIds: [],
    },
  })
  await healthy.check('words')
  healthy.close()
})

/** Joins at once, as clients before KIP-394 do. */
function joinOf(groupId: string) {
  return joinRequest({ groupId, memberId: '' }, ['words'], {
    sessionTimeoutMs: 6000,
    rebalanceTimeoutMs: 6000,
  })
}

test('a thousand members that join and never sync, and whose clients are gone, block nobody', async () => {
  await using broker = await startEager()
  const client = await broker.connect()
  await createTopic(client, 'words')
  const healthy = await HealthyGroup.form(broker, 'words')
  const attackers: RawClient[] = []
  for (let index = 0; index < 500; index++) {
    const attacker = await broker.connect()
    attackers.push(attacker)
    // One group that never comes to rest, and one group for each.
    for (const groupId of ['crowded', `alone-${index}`]) {
      attacker.request(joinGroup, 3, joinOf(groupId)).catch(() => undefined)
    }
  }
  for (const attacker of attackers) attacker.close()
  // Ids that were given out and that nobody comes back with.
  for (let index = 0; index < 2000; index++) {
    const { errorCode } = await client.request(joinGroup, 5, joinOf(`expected-${index}`))
    expect(errorCode).toBe(ErrorCode.MEMBER_ID_REQUIRED)
  }
  await healthy.check('words')
  const other = await TestMember.connect(broker, 'others')
  await formGroup([other])
  expect(await other.commit('words', 1)).toBe(0)
  expect(await broker.rssBytes()).toBeLessThan(MAX_RSS_BYTES)
  // What nobody comes back for ends with its session.
  for (;;) {
    const { groups } = await client.request(listGroups, 4, {})
    const left = groups.filter(({ groupId, groupState }) => groupState !== 'Empty' && groupId !== GROUP)
    if (left.length <= 1) break
    await other.heartbeat()
    await sleep(200)
  }
  await healthy.check('words')
  healthy.close()
  other.close()
  client.close()
  expect(broker.log.filter(({ level }) => level === 'error')).toEqual([])
})

test('20,000 groups that commit one offset each cost what they are, also after kill -9', async () => {
  await using broker = await startEager()
  const client = await broker.connect()
  await createTopic(client, 'words')
  const commit = async (groupId: string) => {
    const partitions = [{ partitionIndex: 0, committedOffset: 7n, committedMetadata: 'm'.repeat(100) }]
    const { topics } = await client.request(offsetCommit, 8, {
      groupId,
      topics: [{ name: 'words', partitions }],
    })
    return topics[0]!.partitions[0]!.errorCode
  }
  for (let from = 0; from < 20_000; from += 100) {
    const codes = await Promise.all(
      Array.from({ length: 100 }, (_, index) => commit(`group-${from + index}`)),
    )
    expect(new Set(codes)).toEqual(new Set([0]))
  }
  expect(await broker.rssBytes()).toBeLessThan(MAX_RSS_BYTES)
  client.close()
  await broker.stop('SIGKILL')
  await using again = await startAttacked(['--durability', 'os'], { dataDir: broker.dataDir })
  const asking = await again.connect()
  for (const groupId of ['group-0', 'group-19999']) {
    let found: { errorCode: number; topics: unknown[] } | undefined
    do {
      const { groups } = await asking.request(offsetFetch, 8, { groups: [{ groupId, topics: null }] })
      found = groups[0]!
    } while (found.errorCode === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
    expect(found.topics).toMatchObject([{ name: 'words', partitions: [{ committedOffset: 7n }] }])
  }
  expect(await again.rssBytes()).toBeLessThan(MAX_RSS_BYTES)
  asking.close()
})
