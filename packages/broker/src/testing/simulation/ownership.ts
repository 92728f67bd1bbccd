import type { GroupReplica } from './group-replica.ts'
import { check } from './simulation-failure.ts'

/**
 * Which partitions the members themselves believe to own, from when they are told until they give them up.
 *
 * A member of a consumer group that the coordinator has put out may still believe so, and its commits are refused;
 * of two that are members, only one may. Members of a classic group believe in a generation.
 */
export class Ownership {
  /** Group and partition → who holds it. */
  readonly #holders = new Map<string, Set<string>>()
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
      holders = new Set()
      this.#holders.set(key, holders)
    }
    holders.add(memberId)
    const members = this.#groups.consumer.get(groupId)?.members
    // Told by the coordinator, and put out before the word arrived.
    if (members?.get(memberId)?.current === undefined) return
    for (const other of holders) {
      check(
        other === memberId || !isMember(members.get(other)),
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
