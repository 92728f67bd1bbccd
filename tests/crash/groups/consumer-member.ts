/** A member of a consumer group (KIP-848): the broker assigns, the member acknowledges. */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { consumerGroupHeartbeat, ErrorCode, errorByCode } from '@streambus/protocol'
import type { RawConnection } from '../../../bench/wire/raw-connection.ts'
import { RefusedError } from '../../../bench/wire/topics.ts'
import { Member, type MemberSpec } from './member.ts'

const REBALANCE_TIMEOUT_MS = 3_000
const RETRY_MS = 3
const JOINING_EPOCH = 0
const LEAVING_EPOCH = -1

export class ConsumerMember extends Member {
  #topicId: string | undefined
  /** False before the first request and after leaving; a request that was not answered may have been served. */
  #mayBeKnown = false
  /** The next heartbeat says everything, and not only what changed: the broker may not have got the last one. */
  #full = true

  constructor(spec: MemberSpec) {
    super(spec)
    this.memberId = randomUUID()
    this.generation = JOINING_EPOCH
  }

  override get hasPlace(): boolean {
    return this.generation > JOINING_EPOCH
  }

  protected override attached(): void {
    this.#full = true
  }

  protected override async takePart(connection: RawConnection): Promise<void> {
    const { group, offsets } = this.spec
    const full = this.#full || this.generation === JOINING_EPOCH
    this.#mayBeKnown = true
    const answer = await connection.request(consumerGroupHeartbeat, 1, {
      groupId: group,
      memberId: this.memberId,
      memberEpoch: this.generation,
      rebalanceTimeoutMs: full ? REBALANCE_TIMEOUT_MS : -1,
      subscribedTopicNames: full ? [offsets.topic] : null,
      topicPartitions: full ? this.#ownedByTopic() : null,
    })
    if (answer.errorCode !== 0) {
      if (errorByCode(answer.errorCode).retriable) await delay(RETRY_MS)
      else this.refused(answer.errorCode)
      return
    }
    this.generation = answer.memberEpoch
    this.#full = false
    if (answer.assignment === null) return
    const given = answer.assignment.topicPartitions
    this.#topicId = given[0]?.topicId ?? this.#topicId
    await this.own(
      connection,
      given.flatMap(({ partitions }) => partitions),
    )
    // What was given up and taken over is acknowledged by the next heartbeat.
    this.#full = true
  }

  /** Gives the place back, as a consumer that is closed does. */
  async leave(connection: RawConnection): Promise<void> {
    if (!this.#mayBeKnown) return
    const { errorCode } = await connection.request(consumerGroupHeartbeat, 1, {
      groupId: this.spec.group,
      memberId: this.memberId,
      memberEpoch: LEAVING_EPOCH,
    })
    if (errorCode !== 0 && errorCode !== ErrorCode.UNKNOWN_MEMBER_ID) {
      if (errorByCode(errorCode).retriable) return
      throw new RefusedError(`leaving ${this.spec.group}: ${errorByCode(errorCode).name}`)
    }
    this.#mayBeKnown = false
    this.#beginAgain()
  }

  protected override refused(errorCode: number): void {
    // The epoch is old; the next heartbeat brings the one that counts.
    if (errorCode === ErrorCode.STALE_MEMBER_EPOCH) return
    if (errorCode !== ErrorCode.UNKNOWN_MEMBER_ID && errorCode !== ErrorCode.FENCED_MEMBER_EPOCH) {
      throw new RefusedError(`a member of ${this.spec.group}: ${errorByCode(errorCode).name}`)
    }
    this.losePlace(errorCode)
    this.#beginAgain()
  }

  #beginAgain(): void {
    this.generation = JOINING_EPOCH
    this.owned = []
    this.#full = true
  }

  #ownedByTopic() {
    return this.#topicId === undefined || this.owned.length === 0
      ? []
      : [{ topicId: this.#topicId, partitions: [...this.owned] }]
  }
}
