import {
  type DeleteTopicsRequest,
  type DeleteTopicsResponseInput,
  deleteTopics,
  ErrorCode,
  ZERO_UUID,
} from '@streambus/protocol'
import type { LogStore, Topic } from '@streambus/storage'
import { isInternalTopic } from '../coordinator/internal-topics.ts'
import type { BrokerServices, Handler } from '../handler.ts'
import { refusalOf } from '../storage-errors.ts'
import { shownName } from '../topics/topic-name.ts'

/**
 * DeleteTopics (key 20), versions 0–6, by name or, from version 6, by id. A topic is gone when the answer is
 * given, so the timeout is not needed. A topic named twice, by name and id, or not at all: INVALID_REQUEST.
 */
type TopicResponse = DeleteTopicsResponseInput['responses'][number]

interface Wanted {
  readonly name: string | null
  readonly topicId: string
}

const TOPIC_IDS_SINCE = 6

export function deleteTopicsHandler(
  services: BrokerServices,
): Handler<DeleteTopicsRequest, DeleteTopicsResponseInput> {
  const { store } = services
  return {
    api: deleteTopics,
    minVersion: 0,
    maxVersion: 6,
    async handle(request, { version }) {
      const wanted: Wanted[] =
        version >= TOPIC_IDS_SINCE
          ? request.topics
          : request.topicNames.map((name) => ({ name, topicId: ZERO_UUID }))
      const named = wanted.map((one) => ({ wanted: one, topic: find(store, one) }))
      const times = new Map<Topic, number>()
      for (const { topic } of named) {
        if (topic !== undefined) times.set(topic, (times.get(topic) ?? 0) + 1)
      }
      return {
        responses: await Promise.all(
          named.map(({ wanted, topic }) => answer(services, wanted, topic, topic ? times.get(topic)! : 0)),
        ),
      }
    },
  }
}

function find(store: LogStore, { name, topicId }: Wanted): Topic | undefined {
  return name === null ? store.topics.byId(topicId) : store.topics.byName(name)
}

async function answer(
  { store, groups }: BrokerServices,
  { name, topicId }: Wanted,
  topic: Topic | undefined,
  times: number,
): Promise<TopicResponse> {
  const fail = (errorCode: number, errorMessage: string): TopicResponse => ({
    name,
    topicId,
    errorCode,
    errorMessage,
  })
  if (name === null ? topicId === ZERO_UUID : topicId !== ZERO_UUID) {
    return fail(
      ErrorCode.INVALID_REQUEST,
      'A topic to delete is given by its name or by its id, one of them.',
    )
  }
  if (topic === undefined) {
    return name === null
      ? fail(ErrorCode.UNKNOWN_TOPIC_ID, `There is no topic with id ${topicId}.`)
      : fail(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, `There is no topic '${shownName(name)}'.`)
  }
  if (times > 1) return fail(ErrorCode.INVALID_REQUEST, `Topic '${topic.name}' is named more than once.`)
  if (isInternalTopic(topic.name)) {
    return fail(
      ErrorCode.INVALID_TOPIC_EXCEPTION,
      `Topic '${topic.name}' is the broker's own, and keeps what groups or transactions need.`,
    )
  }
  try {
    await store.deleteTopic(topic.id)
    await groups.topicDeleted(topic.name)
    return { name: topic.name, topicId: topic.id, errorCode: ErrorCode.NONE }
  } catch (error) {
    const { errorCode, errorMessage } = refusalOf(error)
    return fail(errorCode, errorMessage)
  }
}
