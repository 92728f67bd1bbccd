import {
  ErrorCode,
  type OffsetForLeaderEpochRequest,
  type OffsetForLeaderEpochResponseInput,
  offsetForLeaderEpoch,
} from '@streambus/protocol'
import type { BrokerServices, Handler } from '../handler.ts'
import { leaderEpochError } from '../topics/leader-epoch.ts'

/**
 * OffsetForLeaderEpoch (key 23), versions 2–4: where a leader epoch ends, so that a consumer can tell whether
 * the log was cut behind its back (KIP-320). Version 2 is the one librdkafka asks for.
 *
 * A log keeps one leader epoch for as long as it exists, and acknowledged records are never cut, so the
 * current epoch ends at the high watermark, and any other is unknown: epoch -1, offset -1.
 */
type TopicResponse = OffsetForLeaderEpochResponseInput['topics'][number]

export function offsetForLeaderEpochHandler({
  store,
}: BrokerServices): Handler<OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponseInput> {
  return {
    api: offsetForLeaderEpoch,
    minVersion: 2,
    maxVersion: 4,
    async handle({ topics }) {
      const answers: TopicResponse[] = []
      for (const { topic: name, partitions } of topics) {
        const topic = store.topics.byName(name)
        const partitionAnswers: TopicResponse['partitions'][number][] = []
        for (const { partition, currentLeaderEpoch, leaderEpoch } of partitions) {
          const logId = topic?.logs[partition]
          const [state] = logId === undefined ? [] : await store.state([logId])
          if (state === undefined) {
            partitionAnswers.push({ partition, errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION })
            continue
          }
          const errorCode = leaderEpochError(currentLeaderEpoch, state.leaderEpoch)
          if (errorCode !== ErrorCode.NONE || leaderEpoch !== state.leaderEpoch) {
            partitionAnswers.push({ partition, errorCode })
            continue
          }
          partitionAnswers.push({ partition, errorCode, leaderEpoch, endOffset: BigInt(state.highWatermark) })
        }
        answers.push({ topic: name, partitions: partitionAnswers })
      }
      return { topics: answers }
    },
  }
}
