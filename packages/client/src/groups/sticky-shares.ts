/**
 * Even shares that leave partitions where they are: the core of `sticky` and `cooperative-sticky`, which differ in
 * when a partition that moves gets its new owner.
 */
import type { TopicPartition } from '../list-offsets.ts'
import type { MemberSubscription } from './assignor.ts'

export interface StickyShares {
  readonly shares: ReadonlyMap<string, readonly TopicPartition[]>
  /** The member that had the partition before; undefined where nobody had, or where that is not clear. */
  ownerOf(partition: TopicPartition): string | undefined
}

interface Reader {
  readonly memberId: string
  readonly topics: ReadonlySet<string>
  /** What it has already, and what it gets. */
  readonly kept: TopicPartition[]
  readonly added: TopicPartition[]
}

/** Leaves partitions with their owners as far as the shares stay even, and moves as few as it takes. */
export function stickyShares(
  partitionCounts: ReadonlyMap<string, number>,
  members: readonly MemberSubscription[],
): StickyShares {
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
  return {
    shares: new Map(readers.map(({ memberId, kept, added }) => [memberId, [...kept, ...added]])),
    ownerOf: (partition) => owners.get(keyOf(partition)),
  }
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
 * Moves partitions from members with more to members with at least two fewer until no move makes the shares more
 * even: directly where that can be done, because each partition that moves is one that does not stay, else through
 * others, so that the shares are as even as they can be. Each step makes them more even, so that it ends.
 */
function balance(readers: readonly Reader[]): void {
  for (;;) {
    const byLoad = [...readers].sort((a, b) => loadOf(a) - loadOf(b))
    const way = directWay(byLoad) ?? wayThroughOthers(byLoad)
    if (way === undefined) return
    for (let index = way.length - 1; index > 0; index--) give(way[index - 1]!, way[index]!)
  }
}

function directWay(byLoad: readonly Reader[]): Reader[] | undefined {
  for (const from of byLoad.toReversed()) {
    for (const to of byLoad) {
      if (loadOf(from) - loadOf(to) < 2) break
      if (canGive(from, to)) return [from, to]
    }
  }
  return undefined
}

/** Members of which each can give a partition to the next; as few as it takes. */
function wayThroughOthers(byLoad: readonly Reader[]): Reader[] | undefined {
  const giverTo = new Map<Reader, Reader | undefined>()
  for (const from of byLoad.toReversed()) {
    if (loadOf(from) - loadOf(byLoad[0]!) < 2) return undefined
    // One that was reached from another with more, in vain, leads nowhere else.
    if (giverTo.has(from)) continue
    giverTo.set(from, undefined)
    const reached = [from]
    for (const giver of reached) {
      for (const taker of byLoad) {
        if (giverTo.has(taker) || !canGive(giver, taker)) continue
        giverTo.set(taker, giver)
        if (loadOf(from) - loadOf(taker) >= 2) return wayTo(taker, giverTo)
        reached.push(taker)
      }
    }
  }
  return undefined
}

function wayTo(last: Reader, giverTo: ReadonlyMap<Reader, Reader | undefined>): Reader[] {
  const way = [last]
  for (let giver = giverTo.get(last); giver !== undefined; giver = giverTo.get(giver)) way.unshift(giver)
  return way
}

function canGive({ kept, added }: Reader, { topics }: Reader): boolean {
  return added.some(({ topic }) => topics.has(topic)) || kept.some(({ topic }) => topics.has(topic))
}

/** What is moved anyway goes first, because moving it once more costs nothing. */
function give(from: Reader, to: Reader): void {
  for (const list of [from.added, from.kept]) {
    const index = list.findLastIndex(({ topic }) => to.topics.has(topic))
    if (index < 0) continue
    to.added.push(...list.splice(index, 1))
    return
  }
}
