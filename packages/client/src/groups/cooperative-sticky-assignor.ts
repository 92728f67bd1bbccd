import type { TopicPartition } from '../list-offsets.ts'
import type { Assignor, MemberSubscription } from './assignor.ts'

interface Reader {
  readonly memberId: string
  readonly topics: ReadonlySet<string>
  /** What it has already, and what it gets. */
  readonly kept: TopicPartition[]
  readonly added: TopicPartition[]
}

/**
 * Leaves partitions with their owners as far as the shares stay even, and moves as few as it takes (KIP-429).
 * A partition that moves is assigned to nobody until its owner, in the rebalance that follows, no longer names
 * it: two members never hold it at once.
 */
export const cooperativeStickyAssignor: Assignor = {
  name: 'cooperative-sticky',
  incremental: true,
  assign(partitionCounts, members) {
    const owners = ownersOf(partitionCounts, members)
    const readers = [...members]
      .sort((a, b) => (a.memberId < b.memberId ? -1 : 1))
      .map(({ memberId, topics }): Reader => ({ memberId, topics: new Set(topics), kept: [], added: [] }))
    const byId = new Map(readers.map((reader) => [reader.memberId, reader]))
    const unowned: TopicPartition[] = []
    for (const [topic, partitionCount] of partitionCounts) {
      for (let partition = 0; partition < partitionCount; partition++) {
        const owner = owners.get(keyOf({ topic, partition }))
        if (owner === undefined) unowned.push({ topic, partition })
        else byId.get(owner)!.kept.push({ topic, partition })
      }
    }
    for (const partition of unowned) leastLoaded(readers, partition.topic)?.added.push(partition)
    balance(readers)
    return new Map(
      readers.map(({ memberId, kept, added }) => [
        memberId,
        [...kept, ...added.filter((one) => (owners.get(keyOf(one)) ?? memberId) === memberId)],
      ]),
    )
  },
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}

/**
 * Who owns each partition: of several that say so, the one of the latest generation; nobody where that is not
 * clear either, or where the owner no longer reads the topic.
 */
function ownersOf(
  partitionCounts: ReadonlyMap<string, number>,
  members: readonly MemberSubscription[],
): Map<string, string> {
  const claims = new Map<string, { memberId: string | null; generation: number }>()
  for (const { memberId, topics, ownedPartitions, generation } of members) {
    for (const one of ownedPartitions) {
      if (one.partition >= (partitionCounts.get(one.topic) ?? 0) || !topics.includes(one.topic)) continue
      const claim = claims.get(keyOf(one))
      if (claim === undefined || claim.generation < generation)
        claims.set(keyOf(one), { memberId, generation })
      else if (claim.generation === generation) claim.memberId = null
    }
  }
  const owners = new Map<string, string>()
  for (const [partition, { memberId }] of claims) if (memberId !== null) owners.set(partition, memberId)
  return owners
}

function loadOf({ kept, added }: Reader): number {
  return kept.length + added.length
}

function leastLoaded(readers: readonly Reader[], topic: string): Reader | undefined {
  let least: Reader | undefined
  for (const reader of readers) {
    if (reader.topics.has(topic) && (least === undefined || loadOf(reader) < loadOf(least))) least = reader
  }
  return least
}

/**
 * Moves partitions one by one from members with more to members with at least two fewer, until no move makes
 * the shares more even. Each move does, so that it ends.
 */
function balance(readers: readonly Reader[]): void {
  for (;;) {
    const byLoad = [...readers].sort((a, b) => loadOf(a) - loadOf(b))
    if (!byLoad.some((to) => byLoad.findLast((from) => move(from, to)) !== undefined)) return
  }
}

/** False where nothing can move. What is moved anyway goes first, because moving it once more costs nothing. */
function move(from: Reader, to: Reader): boolean {
  if (loadOf(from) - loadOf(to) < 2) return false
  for (const list of [from.added, from.kept]) {
    const index = list.findLastIndex(({ topic }) => to.topics.has(topic))
    if (index < 0) continue
    to.added.push(...list.splice(index, 1))
    return true
  }
  return false
}
