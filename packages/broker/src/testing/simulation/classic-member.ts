import {
  CONSUMER_PROTOCOL_TYPE,
  decodeConsumerAssignment,
  decodeConsumerSubscription,
  ErrorCode,
  encodeConsumerAssignment,
  encodeConsumerSubscription,
  heartbeat,
  type JoinGroupResponse,
  joinGroup,
  leaveGroup,
  syncGroup,
} from '@streambus/protocol'
import { commitOffsets, observeJoin, observeSync } from './group-observations.ts'
import { Client } from './network.ts'
import type { SeededRandom } from './seeded-random.ts'
import type { World } from './world.ts'

export interface ClassicMemberOptions {
  readonly groupId: string
  readonly topics: readonly string[]
  readonly cooperative: boolean
  readonly instanceId: string | null
  /** The group may be one of the consumer protocol, so that owners are compared over both kinds of members. */
  readonly inMixedGroup: boolean
  /** What the member does when everything comes to an end. */
  readonly ending: 'stays' | 'leaves' | 'dies'
}

const SESSION_TIMEOUT_MS = 10_000
const REBALANCE_TIMEOUT_MS = 15_000
const HEARTBEAT_MS = 2500

/** A member of a classic group, eager or cooperative, that behaves like a client under trouble. */
export class ClassicMember {
  readonly client: Client
  readonly options: ClassicMemberOptions
  readonly owned = new Set<string>()
  memberId = ''
  generation = -1
  isStable = false
  hasEnded = false
  readonly #world: World
  readonly #random: SeededRandom
  readonly #joinVersion: number
  #protocolName = ''
  /** Joined anew since everything goes well. */
  #hasCalmedDown = false
  /** The leader's view of the topics when it made the assignment; null in a member that made none. */
  #assignedFor: string | null = null
  #topics: readonly string[]

  constructor(world: World, options: ClassicMemberOptions) {
    this.#world = world
    this.#random = world.random.fork()
    this.options = options
    this.#topics = options.topics
    this.client = new Client(world.newName('classic-'), world.network, world.time)
    this.#joinVersion = this.#random.between(options.instanceId === null ? 0 : 5, 9)
  }

  async run(): Promise<void> {
    await this.client.sleep(this.#random.next() * 10_000)
    while (!this.hasEnded) {
      this.isStable = await this.#join()
      if (this.isStable) await this.#stay()
      else await this.client.sleep(this.#random.next() * 200)
    }
  }

  /** A new generation, from the request to the assignment. False where it did not come to one. */
  async #join(): Promise<boolean> {
    const world = this.#world
    const { groupId, instanceId, cooperative } = this.options
    if (this.#shouldEnd()) return false
    if (!cooperative) this.#own(new Set())
    const version = this.#joinVersion
    const metadata = encodeConsumerSubscription(cooperative ? this.#random.between(1, 3) : 0, {
      topics: [...this.#topics],
      ownedPartitions: this.#ownedByTopic(),
      generationId: this.generation,
    })
    const names = cooperative
      ? ['cooperative-sticky']
      : this.#random.pick([['range'], ['range', 'roundrobin'], ['roundrobin', 'range']])
    const joined = await this.client.call(
      joinGroup,
      version,
      {
        groupId,
        sessionTimeoutMs: SESSION_TIMEOUT_MS,
        rebalanceTimeoutMs: REBALANCE_TIMEOUT_MS,
        memberId: this.memberId,
        groupInstanceId: instanceId,
        protocolType: CONSUMER_PROTOCOL_TYPE,
        protocols: names.map((name) => ({ name, metadata })),
      },
      { timeoutMs: REBALANCE_TIMEOUT_MS + 10_000, observe: observeJoin(world, groupId) },
    )
    if (joined === null) return false
    if (joined.errorCode !== ErrorCode.NONE) {
      if (joined.errorCode === ErrorCode.MEMBER_ID_REQUIRED) this.memberId = joined.memberId
      else this.#handle(joined.errorCode)
      return false
    }
    this.memberId = joined.memberId
    this.generation = joined.generationId
    this.#protocolName = joined.protocolName ?? ''
    if (!world.isCalm && this.#random.chance(0.03)) await this.client.sleep(this.#random.next() * 25_000)
    return this.#sync(joined)
  }

  async #sync(joined: JoinGroupResponse): Promise<boolean> {
    const world = this.#world
    const { groupId, instanceId, cooperative, inMixedGroup } = this.options
    const isLeader = joined.leader === this.memberId && !joined.skipAssignment
    const assignments = isLeader ? this.#assign(joined) : []
    this.#assignedFor = isLeader ? this.#topicsInWords() : null
    // An assignment that is kept is one for the topics as they were.
    if (joined.leader === this.memberId && joined.skipAssignment) this.#assignedFor = 'unknown'
    for (let attempt = 0; attempt < 5; attempt++) {
      const synced = await this.client.call(
        syncGroup,
        this.#joinVersion >= 5 ? this.#random.between(3, 5) : this.#random.between(0, 2),
        {
          groupId,
          generationId: this.generation,
          memberId: this.memberId,
          groupInstanceId: instanceId,
          protocolType: CONSUMER_PROTOCOL_TYPE,
          protocolName: this.#protocolName,
          assignments,
        },
        {
          timeoutMs: REBALANCE_TIMEOUT_MS + 10_000,
          observe: observeSync(world, groupId, this.generation, this.memberId),
        },
      )
      if (synced === null) continue
      if (synced.errorCode !== ErrorCode.NONE) {
        if (isRetriable(synced.errorCode)) {
          await this.client.sleep(this.#random.next() * 300)
          continue
        }
        this.#handle(synced.errorCode)
        return false
      }
      const assigned = new Set<string>()
      if (synced.assignment.byteLength > 0) {
        for (const { topic, partitions } of decodeConsumerAssignment(synced.assignment).assignedPartitions) {
          for (const partition of partitions) assigned.add(`${topic}-${partition}`)
        }
      }
      if (!inMixedGroup && world.groups.classic.has(groupId)) {
        for (const partition of assigned) {
          world.ownership.assigned(groupId, this.generation, instanceId ?? this.memberId, partition)
        }
      }
      const mustRevoke = cooperative && [...this.owned].some((partition) => !assigned.has(partition))
      this.#own(assigned)
      // What was revoked can be given to others only in another generation.
      return !mustRevoke
    }
    return false
  }

  async #stay(): Promise<void> {
    const { groupId, instanceId } = this.options
    for (;;) {
      await this.client.sleep(HEARTBEAT_MS * (0.6 + 0.6 * this.#random.next()))
      if (this.#shouldEnd()) {
        if (this.options.ending === 'leaves') await this.#leave()
        return
      }
      if (!this.#world.isCalm) {
        if (this.#random.chance(0.02)) {
          // Too busy to say that it is alive.
          await this.client.sleep(this.#random.next() * 2 * SESSION_TIMEOUT_MS)
        }
        if (this.#random.chance(0.02)) {
          await this.#leave()
          await this.client.sleep(this.#random.next() * 10_000)
          return
        }
        if (this.#random.chance(0.03)) {
          // A changed subscription, or none: a client may join again whenever it likes.
          if (this.#random.chance(0.5)) this.#topics = this.#random.some(this.options.topics)
          return
        }
      } else if (!this.#hasCalmedDown) {
        // A leader that took a former one's place may not know that it leads, nor that the topics have changed.
        this.#hasCalmedDown = true
        this.#topics = this.options.topics
        return
      }
      // The leader watches the topics.
      if (this.#assignedFor !== null && this.#assignedFor !== this.#topicsInWords()) return
      if (this.#random.chance(0.5)) await this.#commit()
      const version = instanceId === null ? this.#random.between(0, 4) : this.#random.between(3, 4)
      const alive = await this.client.call(
        heartbeat,
        version,
        { groupId, generationId: this.generation, memberId: this.memberId, groupInstanceId: instanceId },
        { timeoutMs: 5000 },
      )
      if (alive === null || alive.errorCode === ErrorCode.NONE || isRetriable(alive.errorCode)) continue
      this.#handle(alive.errorCode)
      return
    }
  }

  /** What every answer may say about this member. */
  #handle(errorCode: number): void {
    switch (errorCode) {
      case ErrorCode.UNKNOWN_MEMBER_ID:
        this.#lose()
        this.memberId = ''
        break
      case ErrorCode.ILLEGAL_GENERATION:
        this.#lose()
        break
      case ErrorCode.FENCED_INSTANCE_ID:
        // Another one took its place.
        this.#lose()
        this.hasEnded = true
        this.client.kill()
        break
    }
  }

  async #leave(): Promise<void> {
    const { groupId, instanceId } = this.options
    const { memberId } = this
    this.#lose()
    this.memberId = ''
    const version = this.#joinVersion >= 5 ? this.#random.between(3, 5) : this.#random.between(0, 2)
    await this.client.call(
      leaveGroup,
      version,
      version >= 3
        ? { groupId, memberId: '', members: [{ memberId, groupInstanceId: instanceId }] }
        : { groupId, memberId, members: [] },
      { timeoutMs: 5000 },
    )
  }

  async #commit(): Promise<void> {
    const world = this.#world
    const { groupId, instanceId } = this.options
    if (this.owned.size === 0) return
    const isStale = !world.isCalm && this.#random.chance(0.1)
    await commitOffsets(
      world,
      this.client,
      this.#random.between(instanceId === null ? 2 : 7, 9),
      {
        groupId,
        generation: isStale ? this.generation - 1 : this.generation,
        memberId: this.memberId,
        instanceId,
      },
      this.#random.some([...this.owned]).map((partition) => ({
        ...topicAndPartition(partition),
        offset: world.random.between(0, 1_000_000),
        metadata: world.newName('c'),
      })),
    )
  }

  /** The leader's work. */
  #assign({ members, protocolName }: JoinGroupResponse): { memberId: string; assignment: Uint8Array }[] {
    const subscriptions = members
      .map(({ memberId, metadata }) => ({ memberId, subscription: decodeConsumerSubscription(metadata) }))
      .sort((one, other) => (one.memberId < other.memberId ? -1 : 1))
    const owners = new Map<string, { memberId: string; generation: number } | null>()
    if (protocolName === 'cooperative-sticky') {
      for (const { memberId, subscription } of subscriptions) {
        for (const { topic, partitions } of subscription.ownedPartitions) {
          for (const partition of partitions) {
            const name = `${topic}-${partition}`
            const { generationId } = subscription
            const owner = owners.get(name)
            if (owner === undefined || (owner !== null && generationId > owner.generation)) {
              owners.set(name, { memberId, generation: generationId })
            } else if (owner !== null && generationId === owner.generation) owners.set(name, null)
          }
        }
      }
    }
    const given = new Map(subscriptions.map(({ memberId }) => [memberId, [] as string[]]))
    let turn = 0
    for (const topic of [
      ...new Set(subscriptions.flatMap(({ subscription }) => subscription.topics)),
    ].sort()) {
      const takers = subscriptions.filter(({ subscription }) => subscription.topics.includes(topic))
      const partitions = this.#world.topic(topic)?.logs.length ?? 0
      for (let partition = 0; partition < partitions; partition++) {
        const name = `${topic}-${partition}`
        const taker = takers[turn++ % takers.length]!.memberId
        const owner = owners.get(name)
        // It goes on in the next generation, when its owner has given it up.
        if (owner !== undefined && owner?.memberId !== taker && protocolName === 'cooperative-sticky')
          continue
        given.get(taker)!.push(name)
      }
    }
    return [...given].map(([memberId, partitions]) => ({
      memberId,
      assignment: encodeConsumerAssignment(0, { assignedPartitions: byTopic(partitions) }),
    }))
  }

  #topicsInWords(): string {
    return this.options.topics.map((name) => `${name}:${this.#world.topic(name)?.logs.length}`).join()
  }

  #ownedByTopic(): { topic: string; partitions: number[] }[] {
    return byTopic([...this.owned])
  }

  #lose(): void {
    this.#own(new Set())
    this.generation = -1
  }

  #own(partitions: ReadonlySet<string>): void {
    const { groupId, inMixedGroup } = this.options
    for (const partition of this.owned) {
      if (partitions.has(partition)) continue
      this.owned.delete(partition)
      if (inMixedGroup) this.#world.ownership.release(groupId, this.memberId, partition)
    }
    for (const partition of partitions) {
      this.owned.add(partition)
      if (inMixedGroup) this.#world.ownership.hold(groupId, this.memberId, partition)
    }
  }

  #shouldEnd(): boolean {
    const { ending } = this.options
    if (!this.#world.isCalm || ending === 'stays') return false
    this.hasEnded = true
    if (ending === 'dies') this.client.kill()
    return true
  }
}

export function isRetriable(errorCode: number): boolean {
  return (
    errorCode === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS ||
    errorCode === ErrorCode.COORDINATOR_NOT_AVAILABLE ||
    errorCode === ErrorCode.NOT_COORDINATOR
  )
}

/** 'topic-3' → topic and 3. */
export function topicAndPartition(name: string): { topic: string; partition: number } {
  const at = name.lastIndexOf('-')
  return { topic: name.slice(0, at), partition: Number(name.slice(at + 1)) }
}

function byTopic(names: readonly string[]): { topic: string; partitions: number[] }[] {
  const topics = new Map<string, number[]>()
  for (const name of names) {
    const { topic, partition } = topicAndPartition(name)
    const partitions = topics.get(topic)
    if (partitions === undefined) topics.set(topic, [partition])
    else partitions.push(partition)
  }
  return [...topics].map(([topic, partitions]) => ({ topic, partitions }))
}
