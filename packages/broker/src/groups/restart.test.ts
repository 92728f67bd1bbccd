import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deleteTopics, describeGroups, ErrorCode, offsetFetch } from '@streambus/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { RawClient } from '../testing/raw-client.ts'
import { createTopic } from '../testing/requests.ts'
import { formGroup, TestMember } from './testing/test-member.ts'

let dataDir: string
let broker: Broker
let members: TestMember[]

async function start(): Promise<void> {
  broker = await Broker.start({ port: 0, dataDir, groups: { initialRebalanceDelayMs: 0 } })
}

/** Every member comes back on a new connection, and knows what it knew. */
async function restart(): Promise<void> {
  for (const member of members) member.close()
  await broker.close()
  await start()
  members = await Promise.all(
    members.map(async ({ groupId, memberId, generationId, leader }) => {
      const again = await TestMember.connect(broker, groupId)
      return Object.assign(again, { memberId, generationId, leader })
    }),
  )
}

/** The group as tools see it. Waits until it is loaded. */
async function describe(groupId: string) {
  const client = await RawClient.connect(broker)
  for (;;) {
    const { groups } = await client.request(describeGroups, 5, { groups: [groupId] })
    const [group] = groups
    if (group!.errorCode === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS) continue
    client.close()
    return group!
  }
}

async function committed(groupId: string): Promise<unknown> {
  const client = await RawClient.connect(broker)
  const { groups } = await client.request(offsetFetch, 9, { groups: [{ groupId, topics: null }] })
  client.close()
  return groups[0]!.topics
}

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'streambus-groups-'))
  await start()
  members = [await TestMember.connect(broker, 'readers'), await TestMember.connect(broker, 'readers')]
  await createTopic(members[0]!.client, 'words')
  await createTopic(members[0]!.client, 'other')
})

afterEach(async () => {
  for (const member of members) member.close()
  await broker.close()
  await rm(dataDir, { recursive: true, force: true })
})

test('members go on with their generation and assignments after a restart, without a rebalance', async () => {
  await formGroup(members)
  await members[0]!.commit('words', 5)
  const before = { group: await describe('readers'), offsets: await committed('readers') }
  await restart()
  expect(await describe('readers')).toEqual(before.group)
  expect(await committed('readers')).toEqual(before.offsets)
  for (const member of members) {
    expect(await member.heartbeat()).toBe(0)
    expect(await member.sync()).toMatchObject({ errorCode: 0, protocolName: 'range' })
  }
  expect(await members[1]!.commit('words', 6)).toBe(0)
  const follower = members.find(({ isLeader }) => !isLeader)!
  expect(await follower.join()).toMatchObject({ errorCode: 0, generationId: 1 })
})

test('a rebalance that the restart interrupts begins again from the generation before it', async () => {
  await formGroup(members)
  const [leader, follower] = members[0]!.isLeader ? members : [...members].reverse()
  const joining = leader!.join()
  await follower!.hearsOfRebalance()
  await follower!.join()
  await joining
  expect(leader!.generationId).toBe(2)
  await restart()
  expect((await describe('readers')).groupState).toBe('Stable')
  for (const member of members) expect(await member.heartbeat()).toBe(ErrorCode.ILLEGAL_GENERATION)
  await formGroup(members)
  expect(members[0]!.generationId).toBe(2)
})

test('a group that never got its first assignment is unknown after a restart', async () => {
  for (const member of members) await member.join()
  await Promise.all(members.map((member) => member.join()))
  await restart()
  expect((await describe('readers')).groupState).toBe('Dead')
  expect(await members[0]!.heartbeat()).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
  expect(await members[0]!.join()).toMatchObject({ errorCode: ErrorCode.UNKNOWN_MEMBER_ID })
})

test('an empty group stays empty, and counts its generations on', async () => {
  await formGroup(members)
  for (const member of members) await member.leave()
  expect(await describe('readers')).toMatchObject({ groupState: 'Empty', protocolType: 'consumer' })
  await restart()
  expect(await describe('readers')).toMatchObject({ groupState: 'Empty', protocolType: 'consumer' })
  const [member] = members
  member!.memberId = ''
  expect(await member!.enter()).toMatchObject({ errorCode: 0, generationId: 3 })
})

test('a static member that came back is known by its new id after a restart', async () => {
  const [one, again] = members
  await one!.join({ groupInstanceId: 'left' })
  await one!.sync({ [one!.memberId]: 'all' })
  await again!.join({ groupInstanceId: 'left' })
  await restart()
  await describe('readers')
  expect(await members[0]!.heartbeat({ groupInstanceId: 'left' })).toBe(ErrorCode.FENCED_INSTANCE_ID)
  expect(await members[1]!.heartbeat({ groupInstanceId: 'left' })).toBe(0)
  expect(await members[1]!.sync()).toMatchObject({ errorCode: 0, assignment: Buffer.from('all') })
})

test('what was deleted stays deleted', async () => {
  await members[0]!.commit('words', 1, { generationId: -1 })
  await members[0]!.commit('other', 2, { generationId: -1 })
  await members[0]!.client.request(deleteTopics, 6, { topics: [{ name: 'words' }], timeoutMs: 1000 })
  await createTopic(members[0]!.client, 'words')
  await restart()
  await describe('readers')
  expect(await committed('readers')).toMatchObject([{ name: 'other' }])
})
