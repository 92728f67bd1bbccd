import {
  ErrorCode,
  type OffsetFetchRequest,
  type OffsetFetchResponseInput,
  offsetFetch,
} from '@streambus/protocol'
import type { LogStore } from '@streambus/storage'
import { absent, type FetchedPartition, type FetchedTopic } from '../groups/offsets/offset-fetch.ts'
import type { BrokerServices, Handler } from '../handler.ts'

/**
 * OffsetFetch (key 9), versions 0–10: what groups have committed; offset -1 and no error where they have not.
 * Up to version 7 one group, from version 8 any number; from version 10 topics are named by id. Null topics
 * are all that the group has offsets for.
 */
type GroupRequest = OffsetFetchRequest['groups'][number]
type GroupResponse = NonNullable<OffsetFetchResponseInput['groups']>[number]
type TopicResponse = NonNullable<OffsetFetchResponseInput['topics']>[number]

const GROUP_ERROR_SINCE = 2
const MANY_GROUPS_SINCE = 8
const TOPIC_IDS_SINCE = 10

export function offsetFetchHandler({
  store,
  groups,
}: BrokerServices): Handler<OffsetFetchRequest, OffsetFetchResponseInput> {
  return {
    api: offsetFetch,
    minVersion: 0,
    maxVersion: 10,
    handle(request, { version }) {
      const { requireStable } = request
      const answer = (group: GroupRequest): GroupResponse => {
        const { groupId, memberId, memberEpoch } = group
        const wanted = wantedTopics(group, version, store)
        const topics = wanted?.flatMap(({ name, partitionIndexes }) =>
          name === null ? [] : [{ name, partitionIndexes }],
        )
        const found = groups.fetchOffsets({
          groupId,
          memberId,
          memberEpoch,
          topics: topics ?? null,
          requireStable,
        })
        if (typeof found === 'number') return { groupId, errorCode: found, topics: [] }
        return {
          groupId,
          errorCode: ErrorCode.NONE,
          topics: wanted === null ? withIds(found, version, store) : inOrder(wanted, found),
        }
      }
      if (version >= MANY_GROUPS_SINCE) return { groups: withoutRepeats(request.groups).map(answer) }

      const { groupId, topics } = request
      const [asked] = withoutRepeats([
        {
          groupId,
          memberId: null,
          memberEpoch: -1,
          topics: topics?.map((topic) => ({ ...topic, topicId: '' })) ?? null,
        },
      ])
      const group = answer(asked!)
      const errorCode = group.errorCode ?? ErrorCode.NONE
      if (errorCode !== ErrorCode.NONE && version < GROUP_ERROR_SINCE) {
        return { topics: failed(topics ?? [], errorCode) }
      }
      return { errorCode, topics: group.topics as TopicResponse[] }
    },
  }
}

/**
 * Each offset is told once, however often it is asked for: the number of a partition is short, the metadata of an
 * offset may not be.
 */
function withoutRepeats(groups: readonly GroupRequest[]): GroupRequest[] {
  const whole = new Set<string>()
  const asked = new Map<string, Map<string, Set<number>>>()
  return groups.flatMap((group): GroupRequest[] => {
    const { groupId, topics } = group
    if (topics === null) {
      if (whole.has(groupId)) return []
      whole.add(groupId)
      return [group]
    }
    const askedTopics = getOrPut(asked, groupId, () => new Map<string, Set<number>>())
    const unasked = topics.map((topic) => {
      const partitions = getOrPut(askedTopics, `${topic.name}/${topic.topicId}`, () => new Set<number>())
      const partitionIndexes = topic.partitionIndexes.filter((partition) => {
        const isRepeat = partitions.has(partition)
        partitions.add(partition)
        return !isRepeat
      })
      return { ...topic, partitionIndexes }
    })
    return [{ ...group, topics: unasked }]
  })
}

function getOrPut<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}

interface WantedTopic {
  /** Null for an id that no topic has. */
  readonly name: string | null
  readonly topicId: string
  readonly partitionIndexes: readonly number[]
}

function wantedTopics({ topics }: GroupRequest, version: number, store: LogStore): WantedTopic[] | null {
  if (topics === null) return null
  return topics.map(({ name, topicId, partitionIndexes }) => ({
    name: version >= TOPIC_IDS_SINCE ? (store.topics.byId(topicId)?.name ?? null) : name,
    topicId,
    partitionIndexes,
  }))
}

/** The answer names what was asked for in the order of the question. */
function inOrder(wanted: readonly WantedTopic[], found: readonly FetchedTopic[]): GroupResponse['topics'] {
  let next = 0
  return wanted.map(({ name, topicId, partitionIndexes }) => {
    const partitions: FetchedPartition[] =
      name === null
        ? partitionIndexes.map((partition) => absent(partition, ErrorCode.UNKNOWN_TOPIC_ID))
        : found[next++]!.partitions
    return { name: name ?? '', topicId, partitions }
  })
}

/** All topics with offsets. One that is gone has no id any more, and cannot be told where ids are the names. */
function withIds(found: readonly FetchedTopic[], version: number, store: LogStore): GroupResponse['topics'] {
  if (version < TOPIC_IDS_SINCE) return found
  return found.flatMap(({ name, partitions }) => {
    const topicId = store.topics.byName(name)?.id
    return topicId === undefined ? [] : [{ name, topicId, partitions }]
  })
}

function failed(topics: NonNullable<OffsetFetchRequest['topics']>, errorCode: number): TopicResponse[] {
  return topics.map(({ name, partitionIndexes }) => ({
    name,
    partitions: partitionIndexes.map((partition) => absent(partition, errorCode)),
  }))
}
