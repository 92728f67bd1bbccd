import {
  ErrorCode,
  type OffsetCommitRequest,
  type OffsetCommitResponseInput,
  offsetCommit,
} from '@streambus/protocol'
import { CommittableTopics } from '../groups/offsets/committable-topics.ts'
import type { BrokerServices, Handler } from '../handler.ts'

/**
 * OffsetCommit (key 8), versions 0–10: how far a group has come. Each partition succeeds or fails by itself;
 * what is committed is durable when the answer is given. From version 10 topics are named by id.
 *
 * A commit without a generation comes from a tool or from a consumer that assigns partitions to itself, and is
 * taken where the group has no members. The empty group id is allowed, as old clients use it.
 */
const TOPIC_IDS_SINCE = 10

export function offsetCommitHandler({
  store,
  groups,
}: BrokerServices): Handler<OffsetCommitRequest, OffsetCommitResponseInput> {
  return {
    api: offsetCommit,
    minVersion: 0,
    maxVersion: 10,
    mayOverlap: true,
    async handle(request, { version }) {
      const usesTopicIds = version >= TOPIC_IDS_SINCE
      const committable = new CommittableTopics(
        request.topics.map(({ name, topicId, partitions }) => ({
          topic: usesTopicIds
            ? (store.topics.byId(topicId) ?? ErrorCode.UNKNOWN_TOPIC_ID)
            : (store.topics.byName(name) ?? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
          partitions,
        })),
      )
      const { groupId, memberId, groupInstanceId, generationIdOrMemberEpoch, retentionTimeMs } = request
      const committed =
        committable.topics.length === 0
          ? ErrorCode.NONE
          : await groups.commitOffsets({
              groupId,
              committer: {
                memberId,
                groupInstanceId,
                generationIdOrMemberEpoch,
                transactional: false,
                apiVersion: version,
              },
              topics: committable.topics,
              retentionTimeMs,
              transactional: null,
            })
      const errorCodes = committable.errorCodes(committed)
      return {
        topics: request.topics.map(({ name, topicId, partitions }, at) => ({
          name,
          topicId,
          partitions: partitions.map(({ partitionIndex }, position) => ({
            partitionIndex,
            errorCode: errorCodes[at]![position]!,
          })),
        })),
      }
    },
  }
}
