import type { ConsumerGroupDescribeResponse } from '@streambus/protocol'
import type { TopicCatalog, TopicId } from '@streambus/storage'
import type { ConsumerGroupState } from './consumer-group-state.ts'
import { type AssignorName, preferredAssignor } from './target-assignment.ts'

type DescribedGroup = ConsumerGroupDescribeResponse['groups'][number]
type DescribedAssignment = DescribedGroup['members'][number]['assignment']

export type ConsumerGroupDescription = Omit<
  DescribedGroup,
  'errorCode' | 'errorMessage' | 'authorizedOperations'
>

/** Members tell which protocol they use (KIP-1099). */
const MemberType = { CLASSIC: 0, CONSUMER: 1 } as const

/** A group as ConsumerGroupDescribe tells it. Topics that are gone are left out. */
export function describeConsumerGroup(
  groupId: string,
  state: ConsumerGroupState,
  {
    topics,
    options,
  }: { topics: TopicCatalog; options: { readonly consumerAssignors: readonly AssignorName[] } },
): ConsumerGroupDescription {
  return {
    groupId,
    groupState: state.name,
    groupEpoch: state.groupEpoch,
    assignmentEpoch: state.assignmentEpoch,
    assignorName: preferredAssignor(state, options.consumerAssignors),
    members: Array.from(state.members.values(), (member) => ({
      memberId: member.memberId,
      instanceId: member.instanceId,
      rackId: member.rackId,
      memberEpoch: member.memberEpoch,
      clientId: member.clientId,
      clientHost: member.clientHost,
      subscribedTopicNames: [...member.subscribedTopicNames],
      subscribedTopicRegex: member.subscribedTopicRegex === '' ? null : member.subscribedTopicRegex,
      assignment: describeAssignment(
        Array.from(member.assigned, ([topicId, epochs]) => [topicId, [...epochs.keys()]]),
        topics,
      ),
      targetAssignment: describeAssignment(state.target(member.memberId), topics),
      memberType: member.classic === null ? MemberType.CONSUMER : MemberType.CLASSIC,
    })),
  }
}

function describeAssignment(
  partitions: Iterable<readonly [TopicId, readonly number[]]>,
  topics: TopicCatalog,
): DescribedAssignment {
  const topicPartitions: DescribedAssignment['topicPartitions'] = []
  for (const [topicId, listed] of partitions) {
    const topicName = topics.byId(topicId)?.name
    if (topicName === undefined) continue
    topicPartitions.push({ topicId, topicName, partitions: [...listed].sort((a, b) => a - b) })
  }
  return { topicPartitions }
}
