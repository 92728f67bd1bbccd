import type { Cluster } from '../cluster.ts'
import { findOffsets, type Isolation, type TopicPartition } from '../list-offsets.ts'
import type { Position } from './positions.ts'

/** How far a consumer is behind in one partition. */
export interface PartitionLag extends TopicPartition {
  /** What the group has on record, null where nothing, or where there is no group. */
  readonly committed: number | null
  /** The offset behind the last processed message; without a group, behind the last one given out or handled. */
  readonly position: number
  /** The end of what may be read: of the log, or where the first open transaction begins (`isolation`). */
  readonly end: number
  /** What lies between position and end. */
  readonly lag: number
}

/** Partitions whose reading has not begun are left out. */
export async function lagOf(
  cluster: Cluster,
  lane: string,
  positions: readonly Position[],
  isolation: Isolation,
): Promise<PartitionLag[]> {
  const read = positions.filter(({ range }) => range !== undefined)
  const ends = await findOffsets(
    cluster,
    lane,
    read.map(({ topic, partition }) => ({ topic, partition, at: 'latest' })),
    { isolation },
  )
  return read.map(({ topic, partition, committed, next: position }, index) => {
    const end = ends[index]!.offset ?? 0
    return { topic, partition, committed, position, end, lag: Math.max(0, end - position) }
  })
}
