import type { ConsumerGroupHeartbeatRequest } from '@streambus/protocol'
import { ErrorCode } from '@streambus/protocol'
import type { HeartbeatAnswer } from '../heartbeat-request.ts'
import { heartbeat } from './group-fixture.ts'

/**
 * A member as a client keeps it: it processes the partitions it was assigned until it is told to give them up,
 * or that it is out of the group; and it says everything again after an answer did not come.
 */
export class SimulatedMember {
  readonly instanceId: string | null
  memberId: string
  epoch = 0
  /** topicId-partition: what it processes. */
  owned = new Set<string>()
  subscription: { subscribedTopicNames: string[]; subscribedTopicRegex: string | null }
  #mustSayAll = true
  #saidOwned = ''

  constructor(memberId: string, instanceId: string | null, subscription: SimulatedMember['subscription']) {
    this.memberId = memberId
    this.instanceId = instanceId
    this.subscription = subscription
  }

  subscribe(subscription: SimulatedMember['subscription']): void {
    this.subscription = subscription
    this.#mustSayAll = true
  }

  /** The heartbeat it sends now. */
  nextHeartbeat() {
    const { memberId, instanceId, epoch: memberEpoch } = this
    const owned = [...this.owned].sort().join()
    const saysOwned = this.#mustSayAll || owned !== this.#saidOwned
    this.#saidOwned = owned
    return heartbeat({
      memberId,
      memberEpoch,
      instanceId,
      ...(this.#mustSayAll ? { rebalanceTimeoutMs: 30_000, ...this.subscription } : {}),
      topicPartitions: saysOwned ? this.#listOwned() : null,
    })
  }

  leaving(memberEpoch: -1 | -2) {
    return heartbeat({ memberId: this.memberId, instanceId: this.instanceId, memberEpoch })
  }

  /** No answer came: whether it was heard is not known. */
  missAnswer(): void {
    this.#mustSayAll = true
  }

  take(answer: HeartbeatAnswer): void {
    switch (answer.errorCode) {
      case ErrorCode.NONE:
        this.epoch = answer.memberEpoch
        this.#mustSayAll = false
        if (answer.assignment !== null) {
          this.owned = new Set(
            answer.assignment.topicPartitions.flatMap(({ topicId, partitions }) =>
              partitions.map((partition) => `${topicId}-${partition}`),
            ),
          )
        }
        return
      case ErrorCode.FENCED_MEMBER_EPOCH:
      case ErrorCode.UNKNOWN_MEMBER_ID:
      case ErrorCode.GROUP_ID_NOT_FOUND:
        this.loseEverything()
        return
      case ErrorCode.UNRELEASED_INSTANCE_ID:
        this.#mustSayAll = true
        return
      default:
        throw new Error(`unexpected answer: ${JSON.stringify(answer)}`)
    }
  }

  loseEverything(): void {
    this.owned.clear()
    this.epoch = 0
    this.#mustSayAll = true
  }

  #listOwned(): NonNullable<ConsumerGroupHeartbeatRequest['topicPartitions']> {
    return [...this.owned].map((key) => {
      const at = key.lastIndexOf('-')
      return { topicId: key.slice(0, at), partitions: [Number(key.slice(at + 1))] }
    })
  }
}
