import {
  ErrorCode,
  type TxnOffsetCommitRequest,
  type TxnOffsetCommitResponseInput,
  txnOffsetCommit,
} from '@streambus/protocol'
import { CommittableTopics } from '../groups/offsets/committable-topics.ts'
import type { CommitErrorCodes } from '../groups/offsets/offset-commit.ts'
import type { BrokerServices, Handler } from '../handler.ts'
import { offsetCommitCode } from '../transactions/wire-codes.ts'

/**
 * TxnOffsetCommit (key 28), versions 0–5: commits offsets of a group as a part of the producer's transaction.
 * They count when the transaction commits; until then a fetch that asks for stable offsets is told to wait.
 * From version 3 the committer has to be a member of the group in its present generation (KIP-447), from
 * version 5 the group need not have been added to the transaction before (KIP-890).
 */
const ADDS_OFFSETS_SINCE = 5

export function txnOffsetCommitHandler({
  store,
  groups,
  transactions,
}: BrokerServices): Handler<TxnOffsetCommitRequest, TxnOffsetCommitResponseInput> {
  return {
    api: txnOffsetCommit,
    minVersion: 0,
    maxVersion: 5,
    async handle(request, { version }) {
      const { transactionalId, groupId, topics } = request
      const committable = new CommittableTopics(
        topics.map(({ name, partitions }) => ({
          topic: store.topics.byName(name) ?? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
          partitions,
        })),
      )
      const commit = async (): Promise<number | CommitErrorCodes> => {
        if (groupId === '') return ErrorCode.INVALID_GROUP_ID
        if (transactionalId === '') return ErrorCode.INVALID_REQUEST
        if (committable.topics.length === 0) return ErrorCode.NONE
        const transactional = { producerId: Number(request.producerId), producerEpoch: request.producerEpoch }
        const { memberId, groupInstanceId, generationIdOrMemberEpoch } = request
        return transactions.commitOffsets<number | CommitErrorCodes>(
          transactionalId,
          transactional,
          groupId,
          version >= ADDS_OFFSETS_SINCE ? 2 : 0,
          () =>
            groups.commitTransactionalOffsets({
              groupId,
              committer: {
                memberId,
                groupInstanceId,
                generationIdOrMemberEpoch,
                transactional: true,
                apiVersion: version,
              },
              topics: committable.topics,
              retentionTimeMs: -1n,
              transactional,
            }),
          (errorCode) => offsetCommitCode(errorCode, version),
        )
      }
      const errorCodes = committable.errorCodes(await commit())
      return {
        throttleTimeMs: 0,
        topics: topics.map(({ name, partitions }, at) => ({
          name,
          partitions: partitions.map(({ partitionIndex }, position) => ({
            partitionIndex,
            errorCode: errorCodes[at]![position]!,
          })),
        })),
      }
    },
  }
}
