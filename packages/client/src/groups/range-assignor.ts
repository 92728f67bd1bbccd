import type { TopicPartition } from '../list-offsets.ts'
import { type Assignor, bySeniority } from './assignor.ts'

/**
 * Topic by topic, gives each member a run of partitions: partitions of the same number of several topics go to
 * the same member. What does not divide evenly goes to the first members. The same as the Java client's
 * RangeAssignor where no racks are named.
 */
export const rangeAssignor: Assignor = {
  name: 'range',
  incremental: false,
  assign(partitionCounts, members) {
    const assignment = new Map<string, TopicPartition[]>(members.map(({ memberId }) => [memberId, []]))
    const inOrder = [...members].sort(bySeniority)
    for (const [topic, partitionCount] of partitionCounts) {
      const readers = inOrder.filter(({ topics }) => topics.includes(topic))
      const share = Math.floor(partitionCount / readers.length)
      const remainder = partitionCount % readers.length
      let partition = 0
      readers.forEach(({ memberId }, index) => {
        const end = partition + share + (index < remainder ? 1 : 0)
        for (; partition < end; partition++) assignment.get(memberId)!.push({ topic, partition })
      })
    }
    return assignment
  },
}
