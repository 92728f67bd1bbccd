/** The members of a new group, each over a connection of its own: how long until all have their share. */
import { randomUUID } from 'node:crypto'
import { type ConsumerGroupHeartbeatResponse, consumerGroupHeartbeat, heartbeat } from '@streambus/protocol'
import { awaitCoordinator, joinClassicGroup, leaveClassicGroup } from '../wire/group-membership.ts'
import { RawConnection } from '../wire/raw-connection.ts'
import { retried } from '../wire/retried.ts'
import { assertNoError } from '../wire/topics.ts'
import type { GroupJoinJob, GroupJoinReport, Phases } from './jobs.ts'
import { wait } from './wait.ts'

const SESSION_TIMEOUT_MS = 45_000
const REBALANCE_TIMEOUT_MS = 60_000
/** How soon a member that has nothing to say asks again; far below what brokers ask for, so as to see the broker. */
const CONSUMER_HEARTBEAT_MS = 50
const CONSUMER_VERSION = 1
const JOINING_EPOCH = 0
const LEAVING_EPOCH = -1
const NOT_JOINED = -2

export async function runGroupJoinLoad(job: GroupJoinJob, phases: Phases): Promise<GroupJoinReport> {
  const connections: RawConnection[] = []
  for (let member = 0; member < job.members; member++) connections.push(await RawConnection.open(job.port))
  try {
    await awaitCoordinator(connections[0]!, 'group', [job.group])
    phases.measuring()
    const join = job.protocol === 'classic' ? joinClassic : joinConsumer
    const joined = join(job, connections, phases)
    const late = wait(job.measureMs).then(() => {
      throw new Error(`the group was not stable after ${job.measureMs} ms`)
    })
    return await Promise.race([joined, late])
  } finally {
    for (const connection of connections) connection.close()
  }
}

async function joinClassic(
  job: GroupJoinJob,
  connections: readonly RawConnection[],
  phases: Phases,
): Promise<GroupJoinReport> {
  const { group, topic, partitions } = job
  const subscription = {
    group,
    topic,
    partitions,
    sessionTimeoutMs: SESSION_TIMEOUT_MS,
    rebalanceTimeoutMs: REBALANCE_TIMEOUT_MS,
  }
  const startedMs = performance.now()
  const members = await Promise.all(
    connections.map((connection) => joinClassicGroup(connection, subscription)),
  )
  const stableMs = performance.now() - startedMs
  phases.measured()
  const shares = members.map(({ assigned }) => assigned)
  if (!isWhole(shares, partitions)) throw new Error('the assignment is not one of every partition, once')
  // A rebalance that has begun meanwhile would say that this was not the end.
  await Promise.all(
    members.map(async ({ memberId, generationId }, index) => {
      const { errorCode } = await connections[index]!.request(heartbeat, 4, {
        groupId: group,
        generationId,
        memberId,
      })
      assertNoError(errorCode, `the heartbeat after joining ${group}`)
    }),
  )
  await leaveClassicGroup(
    connections[0]!,
    group,
    members.map(({ memberId }) => memberId),
  )
  // Two requests to join, the first for the member's id, and one for the assignment.
  return { stableMs, requests: members.length * 3 }
}

async function joinConsumer(
  job: GroupJoinJob,
  connections: readonly RawConnection[],
  phases: Phases,
): Promise<GroupJoinReport> {
  const members = connections.map((connection) => new ConsumerMember(job, connection))
  let settle: () => void = () => {}
  const settled = new Promise<void>((resolve) => {
    settle = resolve
  })
  const startedMs = performance.now()
  const check = () => {
    const epoch = members[0]!.epoch
    if (!members.every((member) => member.epoch === epoch && member.acknowledged)) return
    if (
      isWhole(
        members.map(({ owned }) => owned),
        job.partitions,
      )
    )
      settle()
  }
  const running = members.map((member) => member.run(check))
  await Promise.race([settled, Promise.all(running)])
  const stableMs = performance.now() - startedMs
  phases.measured()
  for (const member of members) member.stopping = true
  await Promise.all(running)
  const requests = members.reduce((sum, member) => sum + member.requests, 0)
  await Promise.all(members.map((member) => member.leave()))
  return { stableMs, requests }
}

interface OwnedPartitions {
  readonly topicId: string
  readonly partitions: number[]
}

/** A member that acknowledges what it is given at once. */
class ConsumerMember {
  epoch = NOT_JOINED
  /** True when the broker knows that this member owns what it was given last. */
  acknowledged = false
  owned: number[] = []
  requests = 0
  stopping = false
  readonly #memberId = randomUUID()
  readonly #job: GroupJoinJob
  readonly #connection: RawConnection
  #topicId: string | undefined

  constructor(job: GroupJoinJob, connection: RawConnection) {
    this.#job = job
    this.#connection = connection
  }

  async run(onAnswer: () => void): Promise<void> {
    let owned: OwnedPartitions[] | null = []
    while (!this.stopping) {
      const epoch = this.epoch === NOT_JOINED ? JOINING_EPOCH : this.epoch
      const told = owned
      const answer: ConsumerGroupHeartbeatResponse = await retried(
        `the heartbeat of a member of ${this.#job.group}`,
        () => this.#heartbeat(epoch, told),
        ({ errorCode }) => errorCode,
      )
      this.epoch = answer.memberEpoch
      if (answer.assignment === null) {
        this.acknowledged = true
        owned = null
        onAnswer()
        if (!this.stopping) await wait(CONSUMER_HEARTBEAT_MS)
        continue
      }
      const given = answer.assignment.topicPartitions
      this.#topicId = given[0]?.topicId ?? this.#topicId
      this.owned = given.flatMap(({ partitions }) => partitions)
      this.acknowledged = false
      owned = this.#topicId === undefined ? [] : [{ topicId: this.#topicId, partitions: this.owned }]
    }
  }

  async leave(): Promise<void> {
    const { errorCode } = await this.#heartbeat(LEAVING_EPOCH, null)
    assertNoError(errorCode, `leaving ${this.#job.group}`)
  }

  #heartbeat(
    memberEpoch: number,
    topicPartitions: OwnedPartitions[] | null,
  ): Promise<ConsumerGroupHeartbeatResponse> {
    this.requests++
    const joining = memberEpoch === JOINING_EPOCH
    return this.#connection.request(consumerGroupHeartbeat, CONSUMER_VERSION, {
      groupId: this.#job.group,
      memberId: this.#memberId,
      memberEpoch,
      rebalanceTimeoutMs: joining ? REBALANCE_TIMEOUT_MS : -1,
      subscribedTopicNames: joining ? [this.#job.topic] : null,
      topicPartitions,
    })
  }
}

function isWhole(shares: readonly (readonly number[])[], partitions: number): boolean {
  const least = Math.floor(partitions / shares.length)
  const owned = new Set<number>()
  let sum = 0
  for (const share of shares) {
    if (share.length < least) return false
    sum += share.length
    for (const partition of share) owned.add(partition)
  }
  return sum === partitions && owned.size === partitions
}
