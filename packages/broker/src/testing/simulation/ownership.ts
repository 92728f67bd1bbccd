import type { GroupReplica } from './group-replica.ts'
import { check } from './simulation-failure.ts'

/**
 * Which partitions the members themselves believe to own, from when they are told until they give them up.
 *
 * A member of a consumer group that the coordinator has put out may still believe so, and its commits are refused,
 * also when it has come back with its old id and was not yet told what it has; of two that are members, only one
 * may. Members of a classic group believe in a generation.
 */
export class Ownership {
  /** Group and partition → who holds it, and since which of its lives. */
  readonly #holders = new Map<string, Map<string, number | undefined>>()
  /** Group, its life, generation and partition → who was given it. */
  readonly #inGeneration = new Map<string, string>()
  readonly #groups: GroupReplica

  constructor(groups: GroupReplica) {
    this.#groups = groups
  }

  hold(groupId: string, memberId: string, partition: string): void {
    const key = `${groupId}/${partition}`
    let holders = this.#holders.get(key)
    if (holders === undefined) {
      holders = new Map()
      this.#holders.set(key, holders)
    }
    const members = this.#groups.consumer.get(groupId)?.members
    holders.set(memberId, members?.get(memberId)?.bornAt)
    // Told by the coordinator, and put out before the word arrived.
    if (members?.get(memberId)?.current === undefined) return
    for (const [other, bornAt] of holders) {
      const member = members.get(other)
      check(
        other === memberId || !isMember(member) || member?.bornAt !== bornAt,
        () => `${memberId} and ${other} both own partition ${partition} of group ${groupId}`,
      )
    }
  }

  release(groupId: string, memberId: string, partition: string): void {
    this.#holders.get(`${groupId}/${partition}`)?.delete(memberId)
  }

  /** A member of a classic group got the partition in a generation. */
  assigned(groupId: string, generation: number, member: string, partition: string): void {
    const life = this.#groups.livesOf(groupId)
    const key = `${groupId}/${life}/${generation}/${partition}`
    const other = this.#inGeneration.get(key)
    check(
      other === undefined || other === member,
      () => `${other} and ${member} own ${partition} in generation ${generation} of ${groupId}`,
    )
    this.#inGeneration.set(key, member)
  }
}

/** Static members that went away for a while (epoch -2) hold nothing. */
function isMember(
  member: { readonly current: { readonly memberEpoch: number } | null } | undefined,
): boolean {
  return member !== undefined && member.current !== null && member.current.memberEpoch >= 0
}
