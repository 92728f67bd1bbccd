import {
  ErrorCode,
  type OffsetDeleteRequest,
  type OffsetDeleteResponseInput,
  offsetDelete,
} from '@streambus/protocol'
import type { BrokerServices, Handler } from '../handler.ts'

/**
 * OffsetDelete (key 47), version 0: offsets of topics that a group does not consume any more (KIP-496). While
 * it does: GROUP_SUBSCRIBED_TO_TOPIC.
 */
export function offsetDeleteHandler({
  store,
  groups,
}: BrokerServices): Handler<OffsetDeleteRequest, OffsetDeleteResponseInput> {
  return {
    api: offsetDelete,
    minVersion: 0,
    maxVersion: 0,
    async handle({ groupId, topics }) {
      const existing = topics.filter(({ name }) => store.topics.byName(name) !== undefined)
      const deleted = await groups.deleteOffsets({ groupId, topics: existing })
      if (typeof deleted === 'number') return { errorCode: deleted, throttleTimeMs: 0, topics: [] }
      let next = 0
      return {
        errorCode: ErrorCode.NONE,
        throttleTimeMs: 0,
        topics: topics.map((topic) => {
          const codes = topic === existing[next] ? deleted[next++]! : undefined
          return {
            name: topic.name,
            partitions: topic.partitions.map(({ partitionIndex }, at) => ({
              partitionIndex,
              errorCode: codes === undefined ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION : codes[at]!,
            })),
          }
        }),
      }
    },
  }
}
