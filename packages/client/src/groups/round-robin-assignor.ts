import type { TopicPartition } from '../list-offsets.ts'
import { type Assignor, bySeniority } from './assignor.ts'

/**
 * Deals out the partitions of all topics one by one, to the members in turn; who does not read a topic is passed
 * over. The same as the Java client's RoundRobinAssignor.
 */
export const roundRobinAssignor: Assignor = {
  name: 'roundrobin',
  incremental: false,
  assign(partitionCounts, members) {
    const assignment = new Map<string, TopicPartition[]>(members.map(({ memberId }) => [memberId, []]))
    const inOrder = [...members]
      .sort(bySeniority)
      .map(({ memberId, topics }) => ({ memberId, topics: new Set(topics) }))
    let turn = 0
    for (const topic of [...partitionCounts.keys()].sort()) {
      if (!inOrder.some(({ topics }) => topics.has(topic))) continue
      for (let partition = 0; partition < partitionCounts.get(topic)!; partition++) {
        while (!inOrder[turn % inOrder.length]!.topics.has(topic)) turn++
        assignment.get(inOrder[turn++ % inOrder.length]!.memberId)!.push({ topic, partition })
      }
    }
    return assignment
  },
}
