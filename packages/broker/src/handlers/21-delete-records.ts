import {
  type DeleteRecordsRequest,
  type DeleteRecordsResponseInput,
  deleteRecords,
  ErrorCode,
} from '@streambus/protocol'
import { type LogStore, StorageError, type Topic } from '@streambus/storage'
import { isInternalTopic } from '../coordinator/internal-topics.ts'
import type { BrokerServices, Handler } from '../handler.ts'
import { wireCodeOf } from '../storage-errors.ts'

/**
 * DeleteRecords (key 21), versions 0–2: moves the start of partitions, for good; offset -1 is the high
 * watermark. The answer is the new start, durable. An offset before the start is answered with the start as it
 * is, one past the end with OFFSET_OUT_OF_RANGE. Topics that belong to the broker are refused
 * (INVALID_TOPIC_EXCEPTION). The timeout is not needed.
 */
const HIGH_WATERMARK = -1n
const NO_OFFSET = -1n

export function deleteRecordsHandler({
  store,
}: BrokerServices): Handler<DeleteRecordsRequest, DeleteRecordsResponseInput> {
  return {
    api: deleteRecords,
    minVersion: 0,
    maxVersion: 2,
    async handle({ topics }) {
      const answers = topics.map(async ({ name, partitions }) => {
        const topic = store.topics.byName(name)
        return {
          name,
          partitions: await Promise.all(
            partitions.map(async ({ partitionIndex, offset }) => ({
              partitionIndex,
              ...(await moveStart(store, topic, partitionIndex, offset)),
            })),
          ),
        }
      })
      return { topics: await Promise.all(answers) }
    },
  }
}

async function moveStart(
  store: LogStore,
  topic: Topic | undefined,
  partition: number,
  offset: bigint,
): Promise<{ lowWatermark: bigint; errorCode: number }> {
  const refused = (errorCode: number) => ({ lowWatermark: NO_OFFSET, errorCode })
  const logId = topic?.logs[partition]
  if (topic === undefined || logId === undefined) return refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
  if (isInternalTopic(topic.name)) return refused(ErrorCode.INVALID_TOPIC_EXCEPTION)
  if (offset < HIGH_WATERMARK) return refused(ErrorCode.OFFSET_OUT_OF_RANGE)
  try {
    const [state] = await store.state([logId])
    if (state === undefined) return refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    const to = offset === HIGH_WATERMARK ? state.highWatermark : Number(offset)
    const { startOffset } = await store.advanceStart(logId, to)
    return { lowWatermark: BigInt(startOffset), errorCode: ErrorCode.NONE }
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
    return refused(wireCodeOf(error))
  }
}
