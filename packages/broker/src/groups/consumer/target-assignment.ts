import type { TopicCatalog } from '@streambus/storage'
import type { Assignor } from './assignors/assignor.ts'
import { assignByRange } from './assignors/range.ts'
import { assignUniformly } from './assignors/uniform.ts'
import type { ConsumerGroupState } from './consumer-group-state.ts'
import type { Draft } from './draft.ts'
import { sameTopicPartitions } from './partitions.ts'
import { Subscriptions } from './subscriptions.ts'

const ASSIGNORS = { uniform: assignUniformly, range: assignByRange } satisfies Record<string, Assignor>

export type AssignorName = keyof typeof ASSIGNORS
export const ASSIGNOR_NAMES = Object.keys(ASSIGNORS) as readonly AssignorName[]

/**
 * The assignor that most members ask for, the earlier in `enabled` where as many do; the first in `enabled`
 * where none does. Members of the classic protocol do not ask.
 */
export function preferredAssignor(
  { members }: ConsumerGroupState,
  enabled: readonly AssignorName[],
): AssignorName {
  const votes = new Map(enabled.map((name) => [name as string, 0]))
  for (const { serverAssignor } of members.values()) {
    if (serverAssignor !== null && votes.has(serverAssignor)) {
      votes.set(serverAssignor, votes.get(serverAssignor)! + 1)
    }
  }
  return enabled.reduce((best, name) => (votes.get(name)! > votes.get(best)! ? name : best))
}

/** Computes what each member is to have at the current group epoch, and writes what differs from before. */
export function updateTargetAssignment(
  draft: Draft,
  topics: TopicCatalog,
  enabled: readonly AssignorName[],
): void {
  const { state } = draft
  const subscriptions = new Subscriptions(state.regexes, topics)
  const assignment = ASSIGNORS[preferredAssignor(state, enabled)]({
    members: Array.from(state.members, ([memberId, member]) => ({
      memberId,
      topicIds: subscriptions.topicIdsOf(member),
      previous: state.target(memberId),
    })),
    partitionCount: (topicId) => topics.byId(topicId)!.logs.length,
  })
  for (const [memberId, value] of assignment) {
    if (!sameTopicPartitions(state.target(memberId), value)) draft.write({ kind: 'target', memberId, value })
  }
  draft.write({ kind: 'targetEpoch', value: { assignmentEpoch: state.groupEpoch } })
}
