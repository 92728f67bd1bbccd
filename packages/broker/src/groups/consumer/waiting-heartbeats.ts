import { ErrorCode } from '@streambus/protocol'
import { ClassicGroup } from '../classic/classic-group.ts'
import { GroupRefusal } from '../group-refusal.ts'
import type { GroupShard } from '../group-shard.ts'
import { ConsumerGroup } from './consumer-group.ts'
import { type HeartbeatAnswer, refusedHeartbeat } from './heartbeat-request.ts'
import type { Heartbeat } from './heartbeats.ts'
import { JOIN_EPOCH } from './member.ts'
import { upgrade } from './migration.ts'

/** Heartbeats of one group that may wait for its turn. */
const MAX_WAITING = 10_000

/** Runs an operation in the group's turn. Throws and rejects with what the operation throws, and GroupRefusal. */
export type InTurn = <T>(groupId: string, operation: (shard: GroupShard) => T | Promise<T>) => T | Promise<T>

interface Waiting {
  readonly heartbeat: Heartbeat
  resolve(answer: HeartbeatAnswer): void
  reject(error: unknown): void
}

/**
 * Heartbeats that come while their group is busy wait together and are answered together: a hundred members
 * that join at once cost a few target assignments and writes, not a hundred.
 */
export class WaitingHeartbeats {
  readonly #inTurn: InTurn
  readonly #waiting = new Map<string, Waiting[]>()

  constructor(inTurn: InTurn) {
    this.#inTurn = inTurn
  }

  /** The heartbeat was checked by `checkHeartbeatRequest`. Rejects with GroupRefusal and StorageError. */
  answer(heartbeat: Heartbeat): Promise<HeartbeatAnswer> {
    return new Promise((resolve, reject) => {
      const { groupId } = heartbeat.request
      const own = { heartbeat, resolve, reject }
      const others = this.#waiting.get(groupId)
      if (others === undefined) {
        const waiting = [own]
        this.#waiting.set(groupId, waiting)
        void this.#answerAll(groupId, waiting)
      } else if (others.length < MAX_WAITING) {
        others.push(own)
      } else {
        reject(
          new GroupRefusal(ErrorCode.COORDINATOR_NOT_AVAILABLE, 'Too many heartbeats wait for the group.'),
        )
      }
    })
  }

  async #answerAll(groupId: string, waiting: readonly Waiting[]): Promise<void> {
    try {
      const answers = await this.#inTurn(groupId, (shard) => {
        this.#waiting.delete(groupId)
        return answerHeartbeats(
          shard,
          groupId,
          waiting.map(({ heartbeat }) => heartbeat),
        )
      })
      for (const [index, { resolve }] of waiting.entries()) resolve(answers[index]!)
    } catch (error) {
      // The turn may not have come at all. Others may wait already for the one after it.
      if (this.#waiting.get(groupId) === waiting) this.#waiting.delete(groupId)
      for (const { reject } of waiting) reject(error)
    }
  }
}

export function noConsumerGroup(groupId: string): GroupRefusal {
  // No longer than a group id may be in a message that is repeated.
  const shown = groupId.length > 250 ? `${groupId.slice(0, 250)}…` : groupId
  return new GroupRefusal(ErrorCode.GROUP_ID_NOT_FOUND, `There is no consumer group '${shown}'.`)
}

async function answerHeartbeats(
  shard: GroupShard,
  groupId: string,
  heartbeats: readonly Heartbeat[],
): Promise<HeartbeatAnswer[]> {
  const existing = shard.group(groupId)
  if (existing instanceof ConsumerGroup) return existing.heartbeat(heartbeats)
  const joins = heartbeats.some(({ request }) => request.memberEpoch === JOIN_EPOCH)
  if (!joins) {
    const { errorCode, message } = noConsumerGroup(groupId)
    return heartbeats.map(() => refusedHeartbeat(errorCode, message))
  }
  if (existing === undefined) {
    const refusal = shard.refuseGroup(groupId)
    if (refusal !== ErrorCode.NONE)
      throw new GroupRefusal(refusal, 'There are as many groups as there may be.')
    return new ConsumerGroup(groupId, shard).heartbeat(heartbeats)
  }
  if (!(existing instanceof ClassicGroup)) throw noConsumerGroup(groupId)
  const group = new ConsumerGroup(groupId, shard, existing.offsets)
  const former = {
    tombstones: existing.tombstones(),
    taken: existing.isEmpty ? [] : upgrade(existing, shard),
  }
  const answers = await group.heartbeat(heartbeats, former)
  if (shard.group(groupId) === group) {
    // Its members join again, and are members of the new group then.
    existing.stop(ErrorCode.REBALANCE_IN_PROGRESS)
    group.start()
  }
  return answers
}
