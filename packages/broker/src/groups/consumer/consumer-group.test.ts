import { ErrorCode } from '@streambus/protocol'
import { StorageError } from '@streambus/storage'
import { beforeEach, describe, expect, test } from 'vitest'
import { checkHeartbeatRequest } from './heartbeat-request.ts'
import { assigned, GroupFixture, heartbeat, joinRequest } from './testing/group-fixture.ts'

let fixture: GroupFixture

beforeEach(() => {
  fixture = new GroupFixture()
  fixture.topics.set('a', 4)
})

const tps = (...partitions: number[]) => [{ topicId: fixture.topics.byName('a')!.id, partitions }]
const member = (memberId: string) => fixture.group.durable.members.get(memberId)!

describe('joining and rebalancing', () => {
  test('the first member gets everything at epoch 1', async () => {
    const answer = await fixture.join('m1', ['a'])
    expect(answer).toMatchObject({
      errorCode: 0,
      memberId: 'm1',
      memberEpoch: 1,
      heartbeatIntervalMs: 5000,
    })
    expect(assigned(answer, fixture.topics)).toEqual(['a-0', 'a-1', 'a-2', 'a-3'])
    expect(fixture.group.state).toBe('Stable')
  })

  test('a heartbeat that changes nothing writes nothing and repeats no assignment', async () => {
    await fixture.join('m1', ['a'])
    const { length } = fixture.records
    expect(await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1 })).toMatchObject({
      errorCode: 0,
      memberEpoch: 1,
      assignment: null,
    })
    expect(fixture.records).toHaveLength(length)
    const full = await fixture.heartbeat({
      ...joinRequest('m1', ['a']),
      memberEpoch: 1,
      topicPartitions: tps(0, 1, 2, 3),
    })
    expect(assigned(full, fixture.topics)).toHaveLength(4)
    expect(fixture.records).toHaveLength(length)
  })

  test('a partition goes to another member only when its owner has confirmed giving it up', async () => {
    await fixture.join('m1', ['a'])
    const joined = await fixture.join('m2', ['a'])
    expect(joined).toMatchObject({ memberEpoch: 2 })
    expect(assigned(joined, fixture.topics)).toEqual([])
    expect(fixture.group.state).toBe('Reconciling')

    // The owner learns what it is to keep, and stays at its epoch until it has given the rest up.
    const revoke = await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1 })
    expect(revoke).toMatchObject({ memberEpoch: 1 })
    expect(assigned(revoke, fixture.topics)).toEqual(['a-0', 'a-1'])
    expect(assigned(await fixture.heartbeat({ memberId: 'm2', memberEpoch: 2 }), fixture.topics)).toBe(null)
    const still = await fixture.heartbeat({
      memberId: 'm1',
      memberEpoch: 1,
      topicPartitions: tps(0, 1, 2),
    })
    expect(still).toMatchObject({ memberEpoch: 1, assignment: null })
    expect(assigned(await fixture.heartbeat({ memberId: 'm2', memberEpoch: 2 }), fixture.topics)).toBe(null)

    const confirmed = await fixture.heartbeat({
      memberId: 'm1',
      memberEpoch: 1,
      topicPartitions: tps(0, 1),
    })
    expect(confirmed).toMatchObject({ memberEpoch: 2, assignment: null })
    const taken = await fixture.heartbeat({ memberId: 'm2', memberEpoch: 2 })
    expect(assigned(taken, fixture.topics)).toEqual(['a-2', 'a-3'])
    expect(fixture.group.state).toBe('Stable')
  })

  test('joins that wait together share one target assignment and one write', async () => {
    const answers = await fixture.group.heartbeat(
      Array.from({ length: 4 }, (_, index) => heartbeat(joinRequest(`m${index}`, ['a']))),
    )
    expect(answers.map((answer) => assigned(answer, fixture.topics))).toEqual([
      ['a-0'],
      ['a-1'],
      ['a-2'],
      ['a-3'],
    ])
    expect(answers.every(({ memberEpoch }) => memberEpoch === 1)).toBe(true)
    expect(fixture.appends).toHaveLength(1)
    expect(fixture.group.state).toBe('Stable')
  })

  test('one refusal among heartbeats that wait together is told to its sender alone', async () => {
    await fixture.join('m1', ['a'])
    const [unknown, joined, stale] = await fixture.group.heartbeat([
      heartbeat({ memberId: 'nobody', memberEpoch: 3 }),
      heartbeat(joinRequest('m2', ['a'])),
      heartbeat({ memberId: 'm1', memberEpoch: 7 }),
    ])
    expect(unknown).toMatchObject({ errorCode: ErrorCode.UNKNOWN_MEMBER_ID })
    expect(joined).toMatchObject({ errorCode: 0, memberEpoch: 2 })
    expect(stale).toMatchObject({ errorCode: ErrorCode.FENCED_MEMBER_EPOCH })
  })

  test('leaving frees what a member had, and the next heartbeat assigns it', async () => {
    await fixture.group.heartbeat([heartbeat(joinRequest('m1', ['a'])), heartbeat(joinRequest('m2', ['a']))])
    expect(await fixture.heartbeat({ memberId: 'm2', memberEpoch: -1 })).toMatchObject({
      errorCode: 0,
      memberId: 'm2',
      memberEpoch: -1,
    })
    expect(fixture.group.state).toBe('Assigning')
    const answer = await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1 })
    expect(answer).toMatchObject({ memberEpoch: 2 })
    expect(assigned(answer, fixture.topics)).toHaveLength(4)
    await fixture.heartbeat({ memberId: 'm1', memberEpoch: -1 })
    expect(fixture.group.state).toBe('Empty')
  })

  test('the group asks for the assignor that most of its members ask for', async () => {
    fixture.topics.set('b', 1)
    await fixture.group.heartbeat([
      heartbeat(joinRequest('m1', ['a', 'b'], { serverAssignor: 'range' })),
      heartbeat(joinRequest('m2', ['a', 'b'], { serverAssignor: 'range' })),
    ])
    // Range: two of a each, and b to the first; uniform would give 3 and 2.
    expect([...fixture.group.durable.target('m1').values()].map(({ length }) => length)).toEqual([2, 1])
    expect(fixture.group.describe()).toMatchObject({ assignorName: 'range' })
  })

  test('a full group takes no new member', async () => {
    fixture = new GroupFixture({ consumerMaxMembers: 1 })
    await fixture.join('m1', ['a'])
    expect(await fixture.join('m2', ['a'])).toMatchObject({ errorCode: ErrorCode.GROUP_MAX_SIZE_REACHED })
    expect(await fixture.join('m1', ['a'])).toMatchObject({ errorCode: 0 })
  })
})

describe('epochs', () => {
  test('the epoch before is taken from a member that missed the response, and told everything again', async () => {
    await fixture.join('m1', ['a'])
    await fixture.join('m2', ['a'])
    await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1 })
    await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1, topicPartitions: tps(0, 1) })
    expect(member('m1')).toMatchObject({ memberEpoch: 2, previousMemberEpoch: 1 })

    const again = await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1, topicPartitions: tps(0, 1) })
    expect(again).toMatchObject({ errorCode: 0, memberEpoch: 2 })
    expect(assigned(again, fixture.topics)).toEqual(['a-0', 'a-1'])
    for (const topicPartitions of [null, tps(0, 1, 2)]) {
      expect(await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1, topicPartitions })).toMatchObject({
        errorCode: ErrorCode.FENCED_MEMBER_EPOCH,
      })
    }
  })

  test('a member that joins again with its id keeps what it is assigned', async () => {
    await fixture.join('m1', ['a'])
    const again = await fixture.join('m1', ['a'])
    expect(again).toMatchObject({ errorCode: 0, memberEpoch: 1 })
    expect(assigned(again, fixture.topics)).toHaveLength(4)
  })

  test('commits carry the epoch of the member', async () => {
    await fixture.join('m1', ['a'])
    const commit = (rest: object) =>
      fixture.group.refuseCommit(
        {
          memberId: 'm1',
          groupInstanceId: null,
          generationIdOrMemberEpoch: 1,
          transactional: false,
          apiVersion: 9,
          ...rest,
        },
        [{ name: 'a', partitions: [{ partitionIndex: 0 }] }],
      )
    expect(commit({})).toBe(ErrorCode.NONE)
    expect(commit({ apiVersion: 8 })).toBe(ErrorCode.UNSUPPORTED_VERSION)
    expect(commit({ generationIdOrMemberEpoch: 0 })).toBe(ErrorCode.STALE_MEMBER_EPOCH)
    expect(commit({ memberId: 'm2' })).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
    expect(commit({ memberId: '', generationIdOrMemberEpoch: -1 })).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
    expect(commit({ memberId: '', generationIdOrMemberEpoch: -1, transactional: true })).toBe(ErrorCode.NONE)
    expect(fixture.group.refuseFetch('m1', 1)).toBe(ErrorCode.NONE)
    expect(fixture.group.refuseFetch('m1', 2)).toBe(ErrorCode.STALE_MEMBER_EPOCH)
    expect(fixture.group.refuseFetch(null, -1)).toBe(ErrorCode.NONE)
    await fixture.heartbeat({ memberId: 'm1', memberEpoch: -1 })
    expect(commit({ memberId: '', generationIdOrMemberEpoch: -1 })).toBe(ErrorCode.NONE)
  })
})

test('a member that does not know its epoch yet commits what it has had all the time', async () => {
  await fixture.join('m1', ['a'])
  await fixture.join('m2', ['a'])
  await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1 })
  const commit = (memberId: string, epoch: number, partitionIndex: number, transactional = false) =>
    fixture.group.refuseCommit(
      {
        memberId,
        groupInstanceId: null,
        generationIdOrMemberEpoch: epoch,
        transactional,
        apiVersion: 9,
      },
      [{ name: 'a', partitions: [{ partitionIndex }] }],
    )
  // It is still to give partition 2 up, and may have processed it.
  expect(commit('m1', 1, 2)).toBe(ErrorCode.NONE)
  await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1, topicPartitions: tps(0, 1) })
  await fixture.heartbeat({ memberId: 'm2', memberEpoch: 2 })
  expect(member('m1').memberEpoch).toBe(2)
  expect(commit('m1', 1, 0)).toBe(ErrorCode.NONE)
  expect(commit('m1', 0, 0)).toBe(ErrorCode.STALE_MEMBER_EPOCH)
  expect(commit('m1', 3, 0)).toBe(ErrorCode.STALE_MEMBER_EPOCH)
  expect(commit('m1', 1, 2)).toBe(ErrorCode.STALE_MEMBER_EPOCH)
  expect(commit('m1', 1, 2, true)).toBe(ErrorCode.ILLEGAL_GENERATION)
  expect(commit('m2', 1, 2)).toBe(ErrorCode.STALE_MEMBER_EPOCH)
})

describe('time', () => {
  test('a silent member is put out after the session timeout', async () => {
    await fixture.join('m1', ['a'])
    await fixture.time.pass(44_999)
    expect(await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1 })).toMatchObject({ errorCode: 0 })
    await fixture.time.pass(44_999)
    expect(fixture.group.isEmpty).toBe(false)
    await fixture.time.pass(1)
    expect(fixture.group.isEmpty).toBe(true)
    expect(await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1 })).toMatchObject({
      errorCode: ErrorCode.UNKNOWN_MEMBER_ID,
    })
  })

  test('a member that does not give partitions up within its rebalance timeout is put out', async () => {
    await fixture.join('m1', ['a'], { rebalanceTimeoutMs: 10_000 })
    await fixture.join('m2', ['a'])
    await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1 })
    await fixture.time.pass(9_999)
    await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1, topicPartitions: tps(0, 1, 2, 3) })
    await fixture.time.pass(1)
    expect(member('m1')).toBeUndefined()
    expect(
      assigned(await fixture.heartbeat({ memberId: 'm2', memberEpoch: 2 }), fixture.topics),
    ).toHaveLength(4)
  })

  test('a member that the log did not let go is put out as soon as it does', async () => {
    await fixture.join('m1', ['a'])
    fixture.appendError = new StorageError('DISK_FULL', 'the disk is full')
    await fixture.time.pass(45_000)
    expect(fixture.group.isEmpty).toBe(false)
    await fixture.time.pass(1000)
    expect(fixture.group.isEmpty).toBe(true)
  })

  test('a failed append leaves the group as it was', async () => {
    await fixture.join('m1', ['a'])
    fixture.appendError = new StorageError('DISK_FULL', 'the disk is full')
    await expect(fixture.join('m2', ['a'])).rejects.toThrow('the disk is full')
    expect(fixture.group.state).toBe('Stable')
    expect(fixture.group.durable).toMatchObject({ groupEpoch: 1 })
    expect(member('m2')).toBeUndefined()
  })
})

describe('static members', () => {
  const join = (memberId: string) => fixture.join(memberId, ['a'], { instanceId: 'i1' })

  test('a static member that left for a while finds its partitions again, without a rebalance', async () => {
    await join('m1')
    expect(await fixture.heartbeat({ memberId: 'm1', memberEpoch: -2, instanceId: 'i1' })).toMatchObject({
      errorCode: 0,
      memberEpoch: -2,
    })
    const back = await join('m2')
    expect(back).toMatchObject({ errorCode: 0, memberId: 'm2', memberEpoch: 1 })
    expect(assigned(back, fixture.topics)).toHaveLength(4)
    expect(fixture.group.durable.groupEpoch).toBe(1)
    expect([...fixture.group.durable.members.keys()]).toEqual(['m2'])
    expect(fixture.replay().durable).toEqual(fixture.group.durable)
  })

  test('an instance id belongs to one member at a time', async () => {
    await join('m1')
    expect(await join('m2')).toMatchObject({ errorCode: ErrorCode.UNRELEASED_INSTANCE_ID })
    expect(await fixture.heartbeat({ memberId: 'm2', memberEpoch: 1, instanceId: 'i1' })).toMatchObject({
      errorCode: ErrorCode.FENCED_INSTANCE_ID,
    })
    expect(await fixture.heartbeat({ memberId: 'm2', memberEpoch: -1, instanceId: 'i1' })).toMatchObject({
      errorCode: ErrorCode.FENCED_INSTANCE_ID,
    })
    expect(await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1, instanceId: 'i2' })).toMatchObject({
      errorCode: ErrorCode.UNKNOWN_MEMBER_ID,
    })
  })

  test('a static member whose answer to its join got lost joins again with its own id', async () => {
    await join('m1')
    const again = await join('m1')
    expect(again).toMatchObject({ errorCode: 0, memberId: 'm1', memberEpoch: 1 })
    expect(assigned(again, fixture.topics)).toHaveLength(4)
    expect(fixture.group.durable.groupEpoch).toBe(1)
  })

  test('a static member that was fenced joins again with its own id, having given everything up', async () => {
    await join('m1')
    await fixture.join('m2', ['a'])
    await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1, instanceId: 'i1' })
    const fenced = await fixture.heartbeat({ memberId: 'm1', memberEpoch: 7, instanceId: 'i1' })
    expect(fenced).toMatchObject({ errorCode: ErrorCode.FENCED_MEMBER_EPOCH })
    const again = await join('m1')
    expect(again).toMatchObject({ errorCode: 0, memberEpoch: 2 })
    expect(assigned(again, fixture.topics)).toEqual(['a-0', 'a-1'])
    const other = await fixture.heartbeat({ memberId: 'm2', memberEpoch: 2 })
    expect(assigned(other, fixture.topics)).toEqual(['a-2', 'a-3'])
    expect(fixture.replay().durable).toEqual(fixture.group.durable)
  })

  test('a member cannot take the place of another beside its own', async () => {
    await join('m1')
    await fixture.join('m2', ['a'], { instanceId: 'i2' })
    await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1, instanceId: 'i1', topicPartitions: tps(0, 1) })
    await fixture.heartbeat({ memberId: 'm2', memberEpoch: 2, instanceId: 'i2' })
    await fixture.heartbeat({ memberId: 'm1', memberEpoch: -2, instanceId: 'i1' })
    const both = await join('m2')
    expect(both).toMatchObject({ errorCode: ErrorCode.INVALID_REQUEST })
    expect(both.errorMessage).toMatch(/m2 .* i1/)
    const own = await fixture.join('m2', ['a'], { instanceId: 'i2' })
    expect(assigned(own, fixture.topics)).toEqual(['a-2', 'a-3'])
    expect(assigned(await join('m3'), fixture.topics)).toEqual(['a-0', 'a-1'])
  })

  test('a heartbeat that waits together with the leave after it does not bring the member back', async () => {
    await join('m1')
    await fixture.join('m2', ['a'])
    const [, left] = await fixture.group.heartbeat([
      heartbeat({ memberId: 'm1', memberEpoch: 1, instanceId: 'i1', topicPartitions: tps(0, 1) }),
      heartbeat({ memberId: 'm1', memberEpoch: -2, instanceId: 'i1' }),
    ])
    expect(left).toMatchObject({ errorCode: 0, memberEpoch: -2 })
    expect(member('m1').memberEpoch).toBe(-2)
    expect(await join('m3')).toMatchObject({ errorCode: 0, memberEpoch: 2 })
  })

  test('a static member that leaves while it gives partitions up is not put out for them', async () => {
    await fixture.join('m1', ['a'], { instanceId: 'i1', rebalanceTimeoutMs: 10_000 })
    await fixture.join('m2', ['a'])
    const revoking = await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1, instanceId: 'i1' })
    expect(assigned(revoking, fixture.topics)).toEqual(['a-0', 'a-1'])
    await fixture.heartbeat({ memberId: 'm1', memberEpoch: -2, instanceId: 'i1' })
    const other = await fixture.heartbeat({ memberId: 'm2', memberEpoch: 2 })
    expect(assigned(other, fixture.topics)).toEqual(['a-2', 'a-3'])
    await fixture.time.pass(11_000)
    expect(assigned(await join('m3'), fixture.topics)).toEqual(['a-0', 'a-1'])
    expect(fixture.group.durable.groupEpoch).toBe(2)
  })

  test('what nobody comes back for is given to others when the session ends', async () => {
    await join('m1')
    await fixture.heartbeat({ memberId: 'm1', memberEpoch: -2, instanceId: 'i1' })
    await fixture.join('m2', ['a'])
    await fixture.time.pass(40_000)
    expect(assigned(await fixture.heartbeat({ memberId: 'm2', memberEpoch: 2 }), fixture.topics)).toBe(null)
    await fixture.time.pass(5_000)
    expect(
      assigned(await fixture.heartbeat({ memberId: 'm2', memberEpoch: 2 }), fixture.topics),
    ).toHaveLength(4)
  })

  test('a static member that leaves for good frees what it had', async () => {
    await join('m1')
    await fixture.heartbeat({ memberId: 'm1', memberEpoch: -1, instanceId: 'i1' })
    expect(fixture.group.isEmpty).toBe(true)
  })
})

describe('subscriptions', () => {
  test('topics created, grown and deleted raise the group epoch with the next heartbeat', async () => {
    await fixture.join('m1', ['a', 'later'])
    fixture.topics.set('other', 1)
    expect(await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1 })).toMatchObject({ memberEpoch: 1 })
    fixture.topics.set('later', 1)
    const created = await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1 })
    expect(created).toMatchObject({ memberEpoch: 2 })
    expect(assigned(created, fixture.topics)).toContain('later-0')
    fixture.topics.set('a', 5)
    expect(assigned(await fixture.heartbeat({ memberId: 'm1', memberEpoch: 2 }), fixture.topics)).toContain(
      'a-4',
    )
    fixture.topics.delete('later')
    const deleted = await fixture.heartbeat({ memberId: 'm1', memberEpoch: 3, topicPartitions: [] })
    expect(deleted).toMatchObject({ memberEpoch: 4 })
    expect(assigned(deleted, fixture.topics)).toEqual(['a-0', 'a-1', 'a-2', 'a-3', 'a-4'])
  })

  test('a topic created anew under its old name is another topic', async () => {
    await fixture.join('m1', ['a'])
    const before = fixture.topics.byName('a')!.id
    fixture.topics.delete('a')
    fixture.topics.set('a', 2)
    const answer = await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1, topicPartitions: [] })
    expect(answer.assignment!.topicPartitions).toEqual([
      { topicId: fixture.topics.byName('a')!.id, partitions: [0, 1] },
    ])
    expect(fixture.topics.byName('a')!.id).not.toBe(before)
  })

  test('what a member unsubscribes from is taken from it', async () => {
    fixture.topics.set('b', 1)
    await fixture.join('m1', ['a', 'b'])
    const answer = await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1, subscribedTopicNames: ['b'] })
    expect(answer).toMatchObject({ memberEpoch: 1 })
    expect(assigned(answer, fixture.topics)).toEqual(['b-0'])
  })

  test('a regular expression stands for the topics whose whole name it matches, now and later', async () => {
    fixture.topics.set('orders-1', 1)
    fixture.topics.set('my-orders-1', 1)
    fixture.topics.set('__consumer_offsets', 50)
    const joined = await fixture.heartbeat({
      ...joinRequest('m1', []),
      subscribedTopicNames: null,
      subscribedTopicRegex: 'orders-[0-9]+|__.*',
    })
    expect(assigned(joined, fixture.topics)).toEqual(['orders-1-0'])
    expect(fixture.group.isSubscribedTo('orders-1')).toBe(true)
    expect(fixture.group.isSubscribedTo('my-orders-1')).toBe(false)
    fixture.topics.set('orders-2', 1)
    const later = await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1 })
    expect(assigned(later, fixture.topics)).toEqual(['orders-1-0', 'orders-2-0'])
    expect(fixture.replay().durable).toEqual(fixture.group.durable)
    await fixture.heartbeat({ memberId: 'm1', memberEpoch: 2, subscribedTopicRegex: '' })
    expect(fixture.group.durable.regexes.size).toBe(0)
  })

  test.each([
    ['(', /missing closing \)/],
    ['(?=a)', /invalid or unsupported Perl syntax/],
    ['(a)\\1', /invalid escape sequence/],
    ['(a{30}){1001}', /31031 parts/],
    // Compiling it would take all memory there is.
    [`(?:${'a?'.repeat(400)}){1000}`, /401000 parts when its counts are written out; it may have 1000/],
    ['.{0,1000}'.repeat(100), /100000 parts/],
    ['a'.repeat(1001), /1001 characters; it may have 1000/],
  ])('the expression %s is refused with the reason', async (subscribedTopicRegex, reason) => {
    const answer = await fixture.join('m1', [], { subscribedTopicRegex })
    expect(answer).toMatchObject({ errorCode: ErrorCode.INVALID_REGULAR_EXPRESSION })
    expect(answer.errorMessage).toMatch(reason)
    expect(fixture.records).toHaveLength(0)
  })

  test('an expression that makes backtracking engines hang does not', async () => {
    fixture.topics.set('a'.repeat(249), 1)
    const answer = await fixture.join('m1', [], { subscribedTopicRegex: '(a+a+)+b' })
    expect(assigned(answer, fixture.topics)).toEqual([])
  })
})

describe('durability', () => {
  test('a replay gives the same state, and members go on with their epochs', async () => {
    await fixture.join('m1', ['a'], { rackId: 'r1' })
    await fixture.join('m2', ['a'], { instanceId: 'i2' })
    await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1 })
    const before = fixture.group.durable
    fixture.restart()
    expect(fixture.group.durable).toEqual(before)
    await fixture.time.pass(30_000)
    expect(
      await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1, topicPartitions: tps(0, 1) }),
    ).toMatchObject({ errorCode: 0, memberEpoch: 2 })
    expect(await fixture.heartbeat({ memberId: 'm2', memberEpoch: 2 })).toMatchObject({ errorCode: 0 })
    expect(fixture.group.state).toBe('Stable')
  })

  test('sessions and rebalance timeouts begin anew with a new coordinator', async () => {
    await fixture.join('m1', ['a'], { rebalanceTimeoutMs: 20_000 })
    await fixture.join('m2', ['a'])
    await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1 })
    await fixture.time.pass(15_000)
    fixture.restart()
    await fixture.time.pass(19_999)
    expect(member('m1')).toBeDefined()
    await fixture.time.pass(1)
    expect(member('m1')).toBeUndefined()
    await fixture.time.pass(25_000)
    expect(fixture.group.isEmpty).toBe(true)
  })

  test('a snapshot makes the same group, and tombstones take everything away', async () => {
    await fixture.join('m1', ['a'], { subscribedTopicRegex: 'b.*' })
    await fixture.join('m2', ['a'], { instanceId: 'i2' })
    expect(fixture.replay(fixture.group.snapshot()).durable).toEqual(fixture.group.durable)
    const gone = fixture.replay([...fixture.records, ...fixture.group.tombstones()])
    expect(gone.durable).toEqual(fixture.replay([]).durable)
    expect(gone.isDisposable).toBe(true)
  })

  test('a log of which compaction left only the newest record of each key gives the same state', async () => {
    await fixture.group.heartbeat(['m1', 'm2', 'm3'].map((id) => heartbeat(joinRequest(id, ['a']))))
    await fixture.heartbeat({ memberId: 'm3', memberEpoch: -1 })
    await fixture.heartbeat({ memberId: 'm1', memberEpoch: 1 })
    await fixture.heartbeat({ memberId: 'm2', memberEpoch: 1, rackId: 'moved' })
    const newest = new Map(fixture.records.map((record) => [Buffer.from(record.key).toString('hex'), record]))
    const compacted = fixture.records.filter((record) => [...newest.values()].includes(record))
    const replayed = fixture.replay(compacted).durable
    expect(replayed.members).toEqual(fixture.group.durable.members)
    expect(replayed.name).toBe(fixture.group.state)
    expect(replayed.byteLength).toBe(fixture.group.durable.byteLength)
  })

  test('memory of members is counted, and given back', async () => {
    await fixture.join('m1', ['a'])
    expect(fixture.memory.usedBytes).toBe(fixture.group.durable.byteLength)
    expect(fixture.memory.usedBytes).toBeGreaterThan(500)
    await fixture.heartbeat({ memberId: 'm1', memberEpoch: -1 })
    expect(fixture.memory.usedBytes).toBe(0)
  })
})

describe('malformed heartbeats', () => {
  test.each([
    ['MemberEpoch is -3', { memberEpoch: -3 }],
    ['MemberId must not be empty', { memberId: '', memberEpoch: 1 }],
    ['MemberId must not be empty', { ...joinRequest('', ['a']) }],
    ['InstanceId must not be empty', { memberEpoch: 1, instanceId: '' }],
    ['RackId must not be empty', { memberEpoch: 1, rackId: '' }],
    ['MemberId has 1001 characters', { memberEpoch: 1, memberId: 'x'.repeat(1001) }],
    ['InstanceId must be given', { memberEpoch: -2 }],
    ['RebalanceTimeoutMs must be given', { ...joinRequest('m', ['a']), rebalanceTimeoutMs: -1 }],
    ['RebalanceTimeoutMs is -5', { memberEpoch: 1, rebalanceTimeoutMs: -5 }],
    ['TopicPartitions must be empty', { ...joinRequest('m', ['a']), topicPartitions: null }],
    [
      'TopicPartitions must be empty',
      { ...joinRequest('m', ['a']), topicPartitions: [{ topicId: 'x', partitions: [0] }] },
    ],
    [
      'SubscribedTopicNames or SubscribedTopicRegex must be given',
      { ...joinRequest('m', ['a']), subscribedTopicNames: null },
    ],
    [
      'SubscribedTopicNames lists 10001 topics',
      { memberEpoch: 1, subscribedTopicNames: new Array<string>(10_001).fill('a') },
    ],
  ])('%s', (message, request) => {
    const check = () => checkHeartbeatRequest(heartbeat(request).request, 1, ['uniform'])
    expect(check).toThrow(expect.objectContaining({ errorCode: ErrorCode.INVALID_REQUEST }))
    expect(check).toThrow(message)
  })

  test('an assignor that is not offered', () => {
    const { request } = heartbeat({ memberEpoch: 1, serverAssignor: 'range' })
    expect(() => checkHeartbeatRequest(request, 1, ['uniform'])).toThrow(
      expect.objectContaining({ errorCode: ErrorCode.UNSUPPORTED_ASSIGNOR }),
    )
  })

  test('in version 0 the coordinator chooses the id of a member that joins', () => {
    expect(() =>
      checkHeartbeatRequest(heartbeat(joinRequest('', ['a'])).request, 0, ['uniform']),
    ).not.toThrow()
  })
})
