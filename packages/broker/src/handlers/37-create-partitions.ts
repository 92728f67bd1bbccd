import {
  type CreatePartitionsRequest,
  type CreatePartitionsResponseInput,
  createPartitions,
  ErrorCode,
} from '@streambus/protocol'
import { isInternalTopic } from '../coordinator/internal-topics.ts'
import type { BrokerServices, Handler } from '../handler.ts'
import { refusalOf } from '../storage-errors.ts'
import { MAX_PARTITIONS_PER_TOPIC } from '../topics/partition-count.ts'
import { assignmentProblem } from '../topics/replica-assignment.ts'
import { shownName } from '../topics/topic-name.ts'

/**
 * CreatePartitions (key 37), versions 0–3: raises a topic's number of partitions to `count`; it never falls.
 * Topics succeed or fail one by one, and have their partitions when the answer is given. validateOnly checks
 * and changes nothing.
 */
type TopicRequest = CreatePartitionsRequest['topics'][number]

interface Refusal {
  readonly errorCode: number
  readonly errorMessage: string
}

export function createPartitionsHandler(
  services: BrokerServices,
): Handler<CreatePartitionsRequest, CreatePartitionsResponseInput> {
  return {
    api: createPartitions,
    minVersion: 0,
    maxVersion: 3,
    async handle({ topics, validateOnly }) {
      const results = await services.topicChanges.inTurn(async () => {
        const answers: CreatePartitionsResponseInput['results'][number][] = []
        const times = new Map<string, number>()
        for (const { name } of topics) times.set(name, (times.get(name) ?? 0) + 1)
        for (const topic of topics) {
          const refusal =
            times.get(topic.name)! > 1
              ? refused(
                  ErrorCode.INVALID_REQUEST,
                  `Topic '${shownName(topic.name)}' is named more than once.`,
                )
              : await raise(services, topic, validateOnly)
          answers.push({ name: topic.name, errorCode: ErrorCode.NONE, ...refusal })
        }
        return answers
      })
      return { throttleTimeMs: 0, results }
    },
  }
}

async function raise(
  { store, partitionLimit }: BrokerServices,
  { name, count, assignments }: TopicRequest,
  validateOnly: boolean,
): Promise<Refusal | undefined> {
  const topic = store.topics.byName(name)
  if (topic === undefined) {
    return refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, `There is no topic '${shownName(name)}'.`)
  }
  if (isInternalTopic(name)) {
    return refused(
      ErrorCode.INVALID_TOPIC_EXCEPTION,
      `Topic '${name}' is the broker's own: its number of partitions says where to look for what is in it, and stays.`,
    )
  }
  const current = topic.logs.length
  if (count <= current || count > MAX_PARTITIONS_PER_TOPIC) {
    return refused(
      ErrorCode.INVALID_PARTITIONS,
      `Topic '${name}' has ${current} partitions; the new number must be larger and at most ${MAX_PARTITIONS_PER_TOPIC}, not ${count}.`,
    )
  }
  if (assignments !== null) {
    const problem =
      assignments.length === count - current
        ? assignmentProblem(assignments.map(({ brokerIds }) => brokerIds))
        : `Replica assignments must name the ${count - current} new partitions, not ${assignments.length}.`
    if (problem !== undefined) return refused(ErrorCode.INVALID_REPLICA_ASSIGNMENT, problem)
  }
  const noRoom = partitionLimit.reserve(count - current)
  if (noRoom !== undefined) return noRoom
  try {
    if (validateOnly) return undefined
    await store.createPartitions(topic.id, count)
    return undefined
  } catch (error) {
    return refusalOf(error)
  } finally {
    partitionLimit.settle(count - current)
  }
}

function refused(errorCode: number, errorMessage: string): Refusal {
  return { errorCode, errorMessage }
}
