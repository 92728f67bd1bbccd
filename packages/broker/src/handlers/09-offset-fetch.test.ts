import {
  ErrorCode,
  type OffsetFetchRequestInput,
  offsetCommit,
  offsetFetch,
  ZERO_UUID,
} from '@streambus/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { RawClient } from '../testing/raw-client.ts'
import { createTopic } from '../testing/requests.ts'

let broker: Broker
let client: RawClient
let topicId: string

beforeEach(async () => {
  broker = await Broker.start({ port: 0 })
  client = await RawClient.connect(broker)
  topicId = (await createTopic(client, 'words', { partitions: 2 })).topicId
})

afterEach(async () => {
  client.close()
  await broker.close()
})

async function commit(groupId: string, committedOffset: bigint): Promise<void> {
  const partitions = [
    { partitionIndex: 0, committedOffset, committedLeaderEpoch: 4, committedMetadata: 'here' },
  ]
  await client.request(offsetCommit, 8, { groupId, topics: [{ name: 'words', partitions }] })
}

const there = (committedOffset: bigint) => ({
  partitionIndex: 0,
  committedOffset,
  committedLeaderEpoch: 4,
  metadata: 'here',
  errorCode: 0,
})
const nothing = (partitionIndex: number) => ({
  partitionIndex,
  committedOffset: -1n,
  committedLeaderEpoch: -1,
  metadata: '',
  errorCode: 0,
})

test('a group that does not exist has committed nothing, which is no error', async () => {
  const words = [{ name: 'words', partitionIndexes: [0] }]
  expect(await client.request(offsetFetch, 1, { groupId: 'readers', topics: words })).toMatchObject({
    topics: [{ name: 'words', partitions: [nothing(0)] }],
  })
  expect(
    await client.request(offsetFetch, 8, { groups: [{ groupId: 'readers', topics: null }] }),
  ).toMatchObject({ groups: [{ groupId: 'readers', topics: [], errorCode: 0 }] })
})

test('what is asked for several times is answered once', async () => {
  await commit('readers', 5n)
  const words = { name: 'words', topicId, partitionIndexes: [0, 1, 0, 1] }
  const once = { partitions: [there(5n), nothing(1)] }
  const { topics } = await client.request(offsetFetch, 5, { groupId: 'readers', topics: [words, words] })
  expect(topics).toMatchObject([once, { partitions: [] }])
  for (const version of [8, 9, 10]) {
    const named = { groupId: 'readers', topics: [words] }
    const all = { groupId: 'readers', topics: null }
    const { groups } = await client.request(offsetFetch, version, { groups: [named, named, all, all] })
    expect(groups.map(({ topics }) => topics)).toMatchObject([
      [once],
      [{ partitions: [] }],
      [{ partitions: [there(5n)] }],
    ])
  }
})

test.each([0, 1, 2, 3, 4, 5, 6, 7])('one group, in version %i', async (version) => {
  await commit('readers', 5n)
  const leaderEpoch = version >= 5 ? 4 : -1
  const words = [{ name: 'words', partitionIndexes: [0, 1] }]
  const answer = await client.request(offsetFetch, version, { groupId: 'readers', topics: words })
  expect(answer).toMatchObject({
    errorCode: 0,
    topics: [
      { name: 'words', partitions: [{ ...there(5n), committedLeaderEpoch: leaderEpoch }, nothing(1)] },
    ],
  })
  if (version < 2) return
  const all = await client.request(offsetFetch, version, { groupId: 'readers', topics: null })
  expect(all.topics).toMatchObject([{ name: 'words', partitions: [{ committedOffset: 5n }] }])
})

test.each([8, 9, 10])('several groups, in version %i', async (version) => {
  await commit('readers', 5n)
  await commit('writers', 7n)
  const named = { name: 'words', topicId, partitionIndexes: [1, 0] }
  const request: OffsetFetchRequestInput = {
    groups: [
      { groupId: 'writers', topics: [named] },
      { groupId: 'readers', topics: null },
      { groupId: 'nobody', topics: [named] },
    ],
  }
  const expected = version === 10 ? { name: '', topicId } : { name: 'words', topicId: ZERO_UUID }
  expect((await client.request(offsetFetch, version, request)).groups).toEqual([
    { groupId: 'writers', errorCode: 0, topics: [{ ...expected, partitions: [nothing(1), there(7n)] }] },
    { groupId: 'readers', errorCode: 0, topics: [{ ...expected, partitions: [there(5n)] }] },
    { groupId: 'nobody', errorCode: 0, topics: [{ ...expected, partitions: [nothing(1), nothing(0)] }] },
  ])
})

test('an id that no topic has', async () => {
  const topics = [
    { topicId: ZERO_UUID, partitionIndexes: [0] },
    { topicId, partitionIndexes: [0] },
  ]
  await commit('readers', 5n)
  const { groups } = await client.request(offsetFetch, 10, { groups: [{ groupId: 'readers', topics }] })
  expect(groups[0]).toMatchObject({
    errorCode: 0,
    topics: [
      { topicId: ZERO_UUID, partitions: [{ committedOffset: -1n, errorCode: ErrorCode.UNKNOWN_TOPIC_ID }] },
      { topicId, partitions: [there(5n)] },
    ],
  })
})

test('a topic and partition that do not exist have no offsets, which is no error', async () => {
  const topics = [{ name: 'nowhere', partitionIndexes: [0, 99] }]
  const { groups } = await client.request(offsetFetch, 9, { groups: [{ groupId: 'readers', topics }] })
  expect(groups[0]!.topics[0]!.partitions).toEqual([nothing(0), nothing(99)])
})
