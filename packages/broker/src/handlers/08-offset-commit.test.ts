import {
  batchesIn,
  decodeCoordinatorRecord,
  decodeRecords,
  deleteTopics,
  ErrorCode,
  fetch,
  groupRecords,
  type OffsetCommitRequestInput,
  offsetCommit,
  offsetFetch,
  ZERO_UUID,
} from '@streambus/protocol'
import { MemoryLogStore, StorageError } from '@streambus/storage'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { CONSUMER_OFFSETS } from '../coordinator/internal-topics.ts'
import { formGroup, TestMember } from '../groups/testing/test-member.ts'
import { withOverrides } from '../testing/controlled-store.ts'
import { RawClient } from '../testing/raw-client.ts'
import { createTopic, fetchRequest } from '../testing/requests.ts'

let broker: Broker
let client: RawClient
let topicId: string
let failure: StorageError | undefined

beforeEach(async () => {
  failure = undefined
  const store = await MemoryLogStore.open()
  broker = await Broker.start({
    port: 0,
    groups: { maxOffsetMetadataBytes: 10, maxGroups: 3 },
    store: withOverrides(store, {
      append: async (batches) =>
        failure === undefined ? store.append(batches) : batches.map(() => ({ error: failure! })),
    }),
  })
  client = await RawClient.connect(broker)
  topicId = (await createTopic(client, 'words', { partitions: 3 })).topicId
})

afterEach(async () => {
  client.close()
  await broker.close()
})

type Partition = OffsetCommitRequestInput['topics'][number]['partitions'][number]

async function commit(
  partitions: readonly Partial<Partition>[],
  options: Partial<OffsetCommitRequestInput> & { version?: number; name?: string; topicId?: string } = {},
): Promise<number[]> {
  const { version = 9, name = 'words', topicId: id = topicId, ...fields } = options
  const { topics } = await client.request(offsetCommit, version, {
    groupId: 'readers',
    topics: [
      {
        name,
        topicId: id,
        partitions: partitions.map((partition, partitionIndex) => ({
          partitionIndex,
          committedOffset: 0n,
          committedMetadata: null,
          ...partition,
        })),
      },
    ],
    ...fields,
  })
  return topics[0]!.partitions.map(({ errorCode }) => errorCode)
}

async function committed(groupId = 'readers') {
  const { groups } = await client.request(offsetFetch, 8, { groups: [{ groupId, topics: null }] })
  return groups[0]!.topics.flatMap(({ name, partitions }) =>
    partitions.map(({ partitionIndex, committedOffset }) => `${name}-${partitionIndex}: ${committedOffset}`),
  )
}

test.each([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])(
  'offsets are committed and read in version %i',
  async (version) => {
    const partitions = [{ committedOffset: 5n, committedMetadata: 'here' }, { committedOffset: 7n }]
    expect(await commit(partitions, { version })).toEqual([0, 0])
    expect(await committed()).toEqual(['words-0: 5', 'words-1: 7'])
  },
)

test('everything about an offset comes back as it was committed; the later one counts', async () => {
  await commit([{ committedOffset: 5n, committedMetadata: 'first', committedLeaderEpoch: 3 }])
  const second = { committedOffset: 2n ** 53n - 1n, committedMetadata: 'ünïcode', committedLeaderEpoch: 7 }
  expect(await commit([second])).toEqual([0])
  const { groups } = await client.request(offsetFetch, 9, {
    groups: [{ groupId: 'readers', topics: [{ name: 'words', partitionIndexes: [0, 1] }] }],
  })
  expect(groups[0]!.topics[0]!.partitions).toEqual([
    {
      partitionIndex: 0,
      committedOffset: 2n ** 53n - 1n,
      committedLeaderEpoch: 7,
      metadata: 'ünïcode',
      errorCode: 0,
    },
    { partitionIndex: 1, committedOffset: -1n, committedLeaderEpoch: -1, metadata: '', errorCode: 0 },
  ])
})

test('times at the end of what can be said are taken', async () => {
  const last = 2n ** 63n - 1n
  expect(await commit([{ commitTimestamp: last }, { commitTimestamp: -last }], { version: 1 })).toEqual([
    0, 0,
  ])
  expect(await commit([{}], { version: 4, retentionTimeMs: last })).toEqual([0])
  expect(await committed()).toEqual(['words-0: 0', 'words-1: 0'])
})

test('partitions that do not exist are refused one by one', async () => {
  const codes = await commit([{ committedOffset: 1n }, { partitionIndex: 3 }, { partitionIndex: -1 }])
  expect(codes).toEqual([0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION])
  expect(await commit([{}], { name: 'nowhere' })).toEqual([ErrorCode.UNKNOWN_TOPIC_OR_PARTITION])
  expect(await commit([{}], { version: 10, topicId: ZERO_UUID })).toEqual([ErrorCode.UNKNOWN_TOPIC_ID])
  expect(await committed()).toEqual(['words-0: 1'])
})

test('metadata that is too long, and offsets no log has, are refused one by one', async () => {
  const codes = await commit([
    { committedMetadata: 'x'.repeat(10) },
    { committedMetadata: 'x'.repeat(11) },
    { committedOffset: 2n ** 53n },
  ])
  expect(codes).toEqual([0, ErrorCode.OFFSET_METADATA_TOO_LARGE, ErrorCode.OFFSET_OUT_OF_RANGE])
  // Bytes count, not characters.
  expect(await commit([{ committedMetadata: 'ü'.repeat(6) }])).toEqual([ErrorCode.OFFSET_METADATA_TOO_LARGE])
  expect(await committed()).toEqual(['words-0: 0'])
})

test.each([
  [8, ErrorCode.ILLEGAL_GENERATION],
  [9, ErrorCode.GROUP_ID_NOT_FOUND],
])('a generation of a group that does not exist, in version %i', async (version, errorCode) => {
  expect(await commit([{}], { version, generationIdOrMemberEpoch: 1, memberId: 'a' })).toEqual([errorCode])
  expect(await committed()).toEqual([])
})

test('the empty group id may commit, as old clients do', async () => {
  expect(await commit([{ committedOffset: 3n }], { groupId: '' })).toEqual([0])
  expect(await committed('')).toEqual(['words-0: 3'])
})

test('who may commit in each state of the group', async () => {
  const one = await TestMember.connect(broker, 'readers')
  const two = await TestMember.connect(broker, 'readers')
  await one.join()
  await two.join()
  await Promise.all([one.join(), two.join()])
  // CompletingRebalance
  expect(await one.commit('words', 1)).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
  await formGroup([one, two])
  const { generationId } = one
  // Stable
  expect(await one.commit('words', 2)).toBe(0)
  expect(await one.commit('words', 3, { generationId: generationId - 1 })).toBe(ErrorCode.ILLEGAL_GENERATION)
  expect(await one.commit('words', 3, { generationId: generationId + 1 })).toBe(ErrorCode.ILLEGAL_GENERATION)
  expect(await one.commit('words', 3, { memberId: 'stranger' })).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
  expect(await one.commit('words', 3, { groupInstanceId: 'nobody' })).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
  expect(await one.commit('words', 3, { generationId: -1, memberId: '' })).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
  expect(await committed()).toEqual(['words-0: 2'])
  // PreparingRebalance
  const leader = one.isLeader ? one : two
  const other = one.isLeader ? two : one
  const joining = leader.join()
  await other.hearsOfRebalance()
  expect(await other.commit('words', 4)).toBe(0)
  await other.leave()
  await joining
  await leader.leave()
  // Empty
  expect(await one.commit('words', 5, { generationId: -1, memberId: '' })).toBe(0)
  expect(await leader.commit('words', 6)).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
  expect(await committed()).toEqual(['words-0: 5'])
  one.close()
  two.close()
})

test('a commit that cannot be written is refused, and changes nothing', async () => {
  await commit([{ committedOffset: 1n }])
  failure = new StorageError('DISK_FULL', 'the disk is full')
  expect(await commit([{ committedOffset: 2n }])).toEqual([ErrorCode.COORDINATOR_NOT_AVAILABLE])
  failure = new StorageError('BATCH_TOO_LARGE', 'too large')
  expect(await commit([{ committedOffset: 2n }])).toEqual([ErrorCode.INVALID_COMMIT_OFFSET_SIZE])
  failure = undefined
  expect(await committed()).toEqual(['words-0: 1'])
})

test('there are no more groups than there may be', async () => {
  for (const groupId of ['a', 'b', 'c']) expect(await commit([{}], { groupId })).toEqual([0])
  expect(await commit([{}], { groupId: 'd' })).toEqual([ErrorCode.POLICY_VIOLATION])
  expect(await commit([{ committedOffset: 9n }], { groupId: 'c' })).toEqual([0])
  expect(await committed('d')).toEqual([])
})

test('offsets of a topic go with it', async () => {
  await commit([{ committedOffset: 1n }])
  await createTopic(client, 'other')
  await commit([{ committedOffset: 2n }], { name: 'other' })
  await client.request(deleteTopics, 6, { topics: [{ name: 'words' }], timeoutMs: 1000 })
  expect(await committed()).toEqual(['other-0: 2'])
  await createTopic(client, 'words')
  expect(await committed()).toEqual(['other-0: 2'])
})

test('what is committed is in the internal log, in the format that tools expect', async () => {
  await commit([{ committedOffset: 5n, committedMetadata: 'here' }])
  const { responses } = await client.request(
    fetch,
    12,
    // The partition of 'readers', as Kafka computes it.
    fetchRequest(CONSUMER_OFFSETS, [{ partition: 28, fetchOffset: 0 }]),
  )
  const { records } = responses[0]!.partitions[0]!
  const [batch] = batchesIn(records!)
  const decoded = [...decodeRecords(records!.subarray(batch!.position))].map(({ key, value }) =>
    decodeCoordinatorRecord(groupRecords, key!, value),
  )
  expect(decoded).toMatchObject([
    {
      kind: 'OffsetCommit',
      key: { group: 'readers', topic: 'words', partition: 0 },
      value: { offset: 5n, leaderEpoch: -1, metadata: 'here', topicId },
    },
  ])
})
