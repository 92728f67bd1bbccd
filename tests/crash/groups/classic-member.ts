/** A member of a classic group: joins, syncs, heartbeats; leads where it is told to. */
import { setTimeout as delay } from 'node:timers/promises'
import {
  decodeConsumerAssignment,
  ErrorCode,
  encodeConsumerAssignment,
  encodeConsumerSubscription,
  errorByCode,
  heartbeat,
  type JoinGroupResponse,
  joinGroup,
  leaveGroup,
  syncGroup,
} from '@streambus/protocol'
import { ranges } from '../../../bench/wire/group-membership.ts'
import type { RawConnection } from '../../../bench/wire/raw-connection.ts'
import { RefusedError } from '../../../bench/wire/topics.ts'
import { Member, type MemberSpec } from './member.ts'

const SESSION_TIMEOUT_MS = 45_000
/** Whoever does not come back within this is left behind. */
const REBALANCE_TIMEOUT_MS = 3_000
const RETRY_MS = 3

/** What a member may be told to begin again with, and whether the broker still knows its id. */
const lost: ReadonlyMap<number, { readonly known: boolean }> = new Map([
  [ErrorCode.ILLEGAL_GENERATION, { known: true }],
  [ErrorCode.REBALANCE_IN_PROGRESS, { known: true }],
  [ErrorCode.UNKNOWN_MEMBER_ID, { known: false }],
])

export class ClassicMember extends Member {
  readonly #partitions: number
  #joined = false

  constructor(spec: MemberSpec) {
    super(spec)
    this.#partitions = spec.offsets.of(spec.group).length
  }

  override get hasPlace(): boolean {
    return this.#joined
  }

  /** A client that lives on keeps its id and generation, and expects the broker to do so, too. */
  protected override attached(): void {}

  protected override async takePart(connection: RawConnection): Promise<void> {
    if (!this.#joined) {
      await this.#join(connection)
      return
    }
    const { errorCode } = await connection.request(heartbeat, 4, {
      groupId: this.spec.group,
      generationId: this.generation,
      memberId: this.memberId,
    })
    if (errorCode !== 0 && !errorByCode(errorCode).retriable) this.refused(errorCode)
  }

  /** Gives the place back, as a consumer that is closed does. */
  async leave(connection: RawConnection): Promise<void> {
    const { memberId } = this
    if (memberId === '') return
    const { members } = await connection.request(leaveGroup, 5, {
      groupId: this.spec.group,
      members: [{ memberId }],
    })
    const errorCode = members[0]?.errorCode ?? 0
    if (errorCode !== 0 && errorCode !== ErrorCode.UNKNOWN_MEMBER_ID) {
      if (errorByCode(errorCode).retriable) return
      throw new RefusedError(`leaving ${this.spec.group}: ${errorByCode(errorCode).name}`)
    }
    this.memberId = ''
    this.#joined = false
    this.owned = []
  }

  protected override refused(errorCode: number): void {
    const loss = lost.get(errorCode)
    if (loss === undefined) {
      throw new RefusedError(`a member of ${this.spec.group}: ${errorByCode(errorCode).name}`)
    }
    this.losePlace(errorCode)
    this.#joined = false
    if (!loss.known) this.memberId = ''
  }

  async #join(connection: RawConnection): Promise<void> {
    const { group, offsets } = this.spec
    const joined = await connection.request(joinGroup, 9, {
      groupId: group,
      sessionTimeoutMs: SESSION_TIMEOUT_MS,
      rebalanceTimeoutMs: REBALANCE_TIMEOUT_MS,
      memberId: this.memberId,
      protocolType: 'consumer',
      protocols: [
        {
          name: 'range',
          metadata: encodeConsumerSubscription(1, { topics: [offsets.topic], ownedPartitions: [] }),
        },
      ],
    })
    if (joined.errorCode === ErrorCode.MEMBER_ID_REQUIRED) {
      this.memberId = joined.memberId
      return
    }
    if (!(await this.#mayGoOn(joined.errorCode))) return
    this.memberId = joined.memberId
    const synced = await connection.request(syncGroup, 5, {
      groupId: group,
      generationId: joined.generationId,
      memberId: joined.memberId,
      protocolType: 'consumer',
      protocolName: 'range',
      assignments: joined.leader === joined.memberId ? this.#assign(joined) : [],
    })
    if (!(await this.#mayGoOn(synced.errorCode))) return
    this.generation = joined.generationId
    const { assignedPartitions } = decodeConsumerAssignment(synced.assignment)
    // Owned before that is owned anew: everything is given back for a rebalance.
    this.owned = []
    await this.own(
      connection,
      assignedPartitions.flatMap(({ partitions }) => partitions),
    )
    this.#joined = true
  }

  /** False when the join has to begin again. */
  async #mayGoOn(errorCode: number): Promise<boolean> {
    if (errorCode === 0) return true
    if (errorByCode(errorCode).retriable) await delay(RETRY_MS)
    else this.refused(errorCode)
    return false
  }

  #assign(joined: JoinGroupResponse) {
    const { topic } = this.spec.offsets
    const memberIds = joined.members.map((member) => member.memberId)
    return ranges(memberIds, this.#partitions).map(({ memberId, assigned }) => ({
      memberId,
      assignment: encodeConsumerAssignment(1, { assignedPartitions: [{ topic, partitions: assigned }] }),
    }))
  }
}
