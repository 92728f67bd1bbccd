import { type ConsumerGroupHeartbeatResponse, consumerGroupHeartbeat, ErrorCode } from '@streambus/protocol'
import { isRetriable, topicAndPartition } from './classic-member.ts'
import { commitOffsets, observeConsumerHeartbeat } from './group-observations.ts'
import { Client } from './network.ts'
import type { SeededRandom } from './seeded-random.ts'
import type { World } from './world.ts'

export interface ConsumerMemberOptions {
  readonly groupId: string
  readonly topics: readonly string[]
  /** A regular expression instead of the names, from version 1 on. */
  readonly regex: string | null
  readonly instanceId: string | null
  /** What the member does when everything comes to an end. */
  readonly ending: 'stays' | 'leaves' | 'dies'
}

const REBALANCE_TIMEOUT_MS = 15_000
const JOIN_EPOCH = 0
const LEAVE_EPOCH = -1
const LEAVE_AS_STATIC_EPOCH = -2

/** A member of a consumer group (KIP-848), as clients implement it. */
export class ConsumerMember {
  readonly client: Client
  readonly options: ConsumerMemberOptions
  readonly owned = new Set<string>()
  memberId: string
  epoch = JOIN_EPOCH
  hasEnded = false
  readonly #world: World
  readonly #random: SeededRandom
  readonly #version: number
  #target: readonly string[] = []
  #heartbeatMs = 3000
  /** The next heartbeat tells everything, because the broker may have missed something. */
  #tellAll = true
  #topics: readonly string[]

  constructor(world: World, options: ConsumerMemberOptions) {
    this.#world = world
    this.#random = world.random.fork()
    this.options = options
    this.#topics = options.topics
    this.#version = options.regex !== null || this.#random.chance(0.5) ? 1 : 0
    this.client = new Client(world.newName('consumer-'), world.network, world.time)
    this.memberId = this.#newMemberId()
  }

  /** As commits name it. */
  get generation(): number {
    return this.epoch > 0 ? this.epoch : -1
  }

  get isStable(): boolean {
    return this.epoch > 0 && this.#target.every((partition) => this.owned.has(partition))
  }

  async run(): Promise<void> {
    await this.client.sleep(this.#random.next() * 10_000)
    while (!this.hasEnded) {
      if (this.#world.isCalm && this.options.ending !== 'stays') {
        if (this.options.ending === 'leaves') await this.#leave()
        this.hasEnded = true
        this.client.kill()
        return
      }
      await this.#heartbeat()
      await this.#reconcile()
      if (!this.#world.isCalm) await this.#misbehave()
      else if (this.#topics.length < this.options.topics.length) {
        this.#topics = this.options.topics
        this.#tellAll = true
      }
      await this.client.sleep(this.#heartbeatMs * (0.3 + 0.8 * this.#random.next()))
    }
  }

  async #heartbeat(): Promise<void> {
    const { groupId, instanceId, regex } = this.options
    const tellsAll = this.#tellAll || this.epoch === JOIN_EPOCH
    const told = [...this.owned]
    const response = await this.client.call(
      consumerGroupHeartbeat,
      this.#version,
      {
        groupId,
        memberId: this.memberId,
        memberEpoch: this.epoch,
        ...(tellsAll
          ? {
              instanceId,
              rebalanceTimeoutMs: REBALANCE_TIMEOUT_MS,
              ...(regex === null
                ? { subscribedTopicNames: [...this.#topics] }
                : { subscribedTopicRegex: regex }),
              ...(this.#random.chance(0.3)
                ? { serverAssignor: this.#random.pick(['uniform', 'range']) }
                : {}),
              topicPartitions: this.epoch === JOIN_EPOCH ? [] : this.#byTopicId(told),
            }
          : this.#hasNews
            ? { instanceId, topicPartitions: this.#byTopicId(told) }
            : { instanceId }),
      },
      {
        timeoutMs: 8000,
        isNeverRepeated: true,
        observe: observeConsumerHeartbeat(this.#world, groupId),
      },
    )
    if (response === null) {
      this.#tellAll = true
      return
    }
    this.#hasNews = false
    if (response.errorCode === ErrorCode.NONE) this.#heard(response, tellsAll)
    else await this.#refused(response.errorCode)
  }

  #hasNews = false

  #heard(response: ConsumerGroupHeartbeatResponse, toldAll: boolean): void {
    if (toldAll) this.#tellAll = false
    if (response.memberId !== null && response.memberId !== '') this.memberId = response.memberId
    this.epoch = response.memberEpoch
    this.#heartbeatMs = Math.min(response.heartbeatIntervalMs, 3000)
    if (response.assignment !== null) {
      this.#target = response.assignment.topicPartitions.flatMap(({ topicId, partitions }) =>
        partitions.map((partition) => `${this.#world.topicName(topicId)}-${partition}`),
      )
    }
  }

  async #refused(errorCode: number): Promise<void> {
    switch (errorCode) {
      case ErrorCode.UNKNOWN_MEMBER_ID:
      case ErrorCode.FENCED_MEMBER_EPOCH:
      // The group has become a classic one meanwhile.
      case ErrorCode.GROUP_ID_NOT_FOUND:
        this.#lose()
        break
      case ErrorCode.FENCED_INSTANCE_ID:
        this.#end()
        break
      case ErrorCode.UNRELEASED_INSTANCE_ID:
        // The one that has the name is alive, and will not give it up.
        if (this.#world.isCalm && this.#random.chance(0.1)) this.#end()
        await this.client.sleep(this.#random.next() * 5000)
        break
      default:
        this.#tellAll = true
        if (!isRetriable(errorCode)) await this.client.sleep(this.#random.next() * 2000)
    }
  }

  /** Gives up what is to be given up, then takes what was given. */
  async #reconcile(): Promise<void> {
    const revoked = [...this.owned].filter((partition) => !this.#target.includes(partition))
    const added = this.#target.filter((partition) => !this.owned.has(partition))
    if (revoked.length === 0 && added.length === 0) {
      if (this.#random.chance(0.4)) await this.#commit([...this.owned])
      return
    }
    if (revoked.length > 0) {
      if (this.#random.chance(0.5)) await this.#commit(revoked)
      // What goes on here is the application's; it may take longer than the group waits.
      const slow = !this.#world.isCalm && this.#random.chance(0.1)
      await this.client.sleep(this.#random.next() * (slow ? 2 * REBALANCE_TIMEOUT_MS : 500))
      for (const partition of revoked) this.#release(partition)
    }
    for (const partition of added) {
      this.owned.add(partition)
      this.#world.ownership.hold(this.options.groupId, this.memberId, partition)
    }
    this.#hasNews = true
    await this.#heartbeatSoon()
  }

  async #heartbeatSoon(): Promise<void> {
    if (this.#random.chance(0.8)) await this.#heartbeat()
  }

  async #misbehave(): Promise<void> {
    if (this.#random.chance(0.01)) await this.client.sleep(this.#random.next() * 60_000)
    if (this.#random.chance(0.015)) {
      await this.#leave()
      await this.client.sleep(this.#random.next() * 10_000)
    }
    if (this.options.regex === null && this.#random.chance(0.02)) {
      this.#topics = this.#random.some(this.options.topics)
      this.#tellAll = true
    }
  }

  async #leave(): Promise<void> {
    const { groupId, instanceId } = this.options
    const { memberId } = this
    const memberEpoch = instanceId !== null && this.#random.chance(0.7) ? LEAVE_AS_STATIC_EPOCH : LEAVE_EPOCH
    this.#lose()
    // Another run of the client is another member.
    this.memberId = this.#newMemberId()
    await this.client.call(
      consumerGroupHeartbeat,
      this.#version,
      { groupId, memberId, memberEpoch, instanceId },
      { timeoutMs: 8000 },
    )
  }

  async #commit(partitions: readonly string[]): Promise<void> {
    if (partitions.length === 0 || this.epoch <= 0) return
    const world = this.#world
    await commitOffsets(
      world,
      this.client,
      this.#random.between(9, 10),
      {
        groupId: this.options.groupId,
        generation: this.epoch,
        memberId: this.memberId,
        instanceId: this.options.instanceId,
      },
      this.#random.some(partitions).map((name) => {
        const { topic, partition } = topicAndPartition(name)
        return {
          topic: world.durable.topics.byId(topic)?.name ?? topic,
          partition,
          offset: world.random.between(0, 1_000_000),
          metadata: world.newName('c'),
        }
      }),
    )
  }

  #end(): void {
    this.#lose()
    this.hasEnded = true
    this.client.kill()
  }

  #lose(): void {
    for (const partition of [...this.owned]) this.#release(partition)
    this.#target = []
    this.epoch = JOIN_EPOCH
    this.#tellAll = true
  }

  #release(partition: string): void {
    this.owned.delete(partition)
    this.#world.ownership.release(this.options.groupId, this.memberId, partition)
  }

  #byTopicId(names: readonly string[]): { topicId: string; partitions: number[] }[] {
    const byId = new Map<string, number[]>()
    for (const name of names) {
      const { topic, partition } = topicAndPartition(name)
      const topicId = this.#world.topicId(topic)
      const partitions = byId.get(topicId)
      if (partitions === undefined) byId.set(topicId, [partition])
      else partitions.push(partition)
    }
    return [...byId].map(([topicId, partitions]) => ({ topicId, partitions }))
  }

  #newMemberId(): string {
    return this.#version === 0 ? '' : this.#world.newKafkaId()
  }
}
