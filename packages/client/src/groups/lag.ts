import type { Cluster } from '../cluster.ts'
import { findOffsets, type TopicPartition } from '../list-offsets.ts'
import type { Position } from './positions.ts'

/** How far a group consumer is behind in one partition it owns. */
export interface PartitionLag extends TopicPartition {
  /** What the group has on record, null where nothing. */
  readonly committed: number | null
  /** The offset behind the last processed message. */
  readonly position: number
  /** The one the next message of the partition gets. */
  readonly end: number
  /** What lies between position and end. */
  readonly lag: number
}

/** Partitions whose reading has not begun are left out. */
export async function lagOf(
  cluster: Cluster,
  lane: string,
  positions: readonly Position[],
): Promise<PartitionLag[]> {
  const read = positions.filter(({ range }) => range !== undefined)
  const ends = await findOffsets(
    cluster,
    lane,
    read.map(({ topic, partition }) => ({ topic, partition, at: 'latest' })),
  )
  return read.map(({ topic, partition, committed, next: position }, index) => {
    const end = ends[index]!.offset ?? 0
    return { topic, partition, committed, position, end, lag: Math.max(0, end - position) }
  })
}
