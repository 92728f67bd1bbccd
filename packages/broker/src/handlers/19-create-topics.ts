import {
  type CreateTopicsRequest,
  type CreateTopicsResponseInput,
  createTopics,
  ErrorCode,
  ZERO_UUID,
} from '@streambus/protocol'
import { isInternalTopic } from '../coordinator/internal-topics.ts'
import type { BrokerServices, Handler } from '../handler.ts'
import { prepareForCompaction } from '../produce/compaction-codecs.ts'
import { refusalOf } from '../storage-errors.ts'
import { MAX_PARTITIONS_PER_TOPIC } from '../topics/partition-count.ts'
import { assignmentProblem } from '../topics/replica-assignment.ts'
import { shownName, topicNameProblem } from '../topics/topic-name.ts'

/**
 * CreateTopics (key 19), versions 0–7. -1 takes the default for partitions and replicas. Topics succeed or
 * fail one by one, and exist when the answer is given; the timeout is not needed. validateOnly checks and
 * changes nothing.
 *
 * Left out: Kafka's refusal of names that differ only in '.' and '_', which is about its metric names.
 */
type TopicRequest = CreateTopicsRequest['topics'][number]
type TopicResponse = CreateTopicsResponseInput['topics'][number]

interface Refusal {
  readonly errorCode: number
  readonly errorMessage: string
}
interface Plan {
  readonly partitions: number
  readonly configs: Record<string, string>
}

const DEFAULT = -1

export function createTopicsHandler(
  services: BrokerServices,
): Handler<CreateTopicsRequest, CreateTopicsResponseInput> {
  const { store, topicSettings, partitionLimit } = services
  return {
    api: createTopics,
    minVersion: 0,
    maxVersion: 7,
    async handle({ topics, validateOnly }) {
      const answerTo = async (topic: TopicRequest): Promise<TopicResponse> => {
        const { name } = topic
        const plan = planOf(topic, services)
        if ('errorCode' in plan) return failure(name, plan)
        const noRoom = partitionLimit.reserve(plan.partitions)
        if (noRoom !== undefined) return failure(name, noRoom)
        try {
          await prepareForCompaction(plan.configs)
          const created = validateOnly ? undefined : await store.createTopic({ name, ...plan })
          return {
            name,
            topicId: created?.id ?? ZERO_UUID,
            errorCode: ErrorCode.NONE,
            errorMessage: null,
            numPartitions: plan.partitions,
            replicationFactor: 1,
            configs: topicSettings.describe(plan.configs).map(({ name, value, readOnly, source }) => ({
              name,
              value,
              readOnly,
              configSource: source,
              isSensitive: false,
            })),
          }
        } catch (error) {
          return failure(name, refusalOf(error))
        } finally {
          partitionLimit.settle(plan.partitions)
        }
      }
      return {
        topics: await Promise.all(
          [...groupByName(topics)].map(([name, requests]) =>
            requests.length === 1
              ? answerTo(requests[0]!)
              : failure(name, {
                  errorCode: ErrorCode.INVALID_REQUEST,
                  errorMessage: `Topic '${shownName(name)}' is named more than once in the request.`,
                }),
          ),
        ),
      }
    },
  }
}

/** Checks everything that can be checked without creating the topic. */
function planOf(topic: TopicRequest, { store, options, topicSettings }: BrokerServices): Plan | Refusal {
  const { name, numPartitions, replicationFactor, assignments } = topic
  const nameProblem = topicNameProblem(name)
  if (nameProblem !== undefined) {
    return { errorCode: ErrorCode.INVALID_TOPIC_EXCEPTION, errorMessage: nameProblem }
  }
  if (isInternalTopic(name)) {
    return {
      errorCode: ErrorCode.INVALID_TOPIC_EXCEPTION,
      errorMessage: `Topic '${name}' is the broker's own: it creates it when it needs it.`,
    }
  }
  if (store.topics.byName(name) !== undefined) {
    return { errorCode: ErrorCode.TOPIC_ALREADY_EXISTS, errorMessage: `Topic '${name}' exists already.` }
  }
  let partitions = numPartitions === DEFAULT ? options.defaultPartitions : numPartitions
  if (assignments.length > 0) {
    const refusal = refuseAssignments(topic)
    if (refusal !== undefined) return refusal
    partitions = assignments.length
  }
  if (partitions < 1 || partitions > MAX_PARTITIONS_PER_TOPIC) {
    return {
      errorCode: ErrorCode.INVALID_PARTITIONS,
      errorMessage: `A topic has 1 to ${MAX_PARTITIONS_PER_TOPIC} partitions (-1 takes the broker's default), not ${partitions}.`,
    }
  }
  if (replicationFactor !== 1 && replicationFactor !== DEFAULT) {
    return {
      errorCode: ErrorCode.INVALID_REPLICATION_FACTOR,
      errorMessage: `The replication factor must be 1 (-1 takes that default), not ${replicationFactor}: there is one broker.`,
    }
  }
  const settings = topicSettings.check(topic.configs)
  if (settings.problem !== undefined) {
    return { errorCode: ErrorCode.INVALID_CONFIG, errorMessage: settings.problem }
  }
  return { partitions, configs: settings.configs }
}

function refuseAssignments({
  numPartitions,
  replicationFactor,
  assignments,
}: TopicRequest): Refusal | undefined {
  if (numPartitions !== DEFAULT || replicationFactor !== DEFAULT) {
    return {
      errorCode: ErrorCode.INVALID_REQUEST,
      errorMessage:
        'With replica assignments, the number of partitions and the replication factor must both be -1.',
    }
  }
  const indexes = new Set(assignments.map(({ partitionIndex }) => partitionIndex))
  const areConsecutive = assignments.every((_, index) => indexes.has(index))
  const problem = areConsecutive
    ? assignmentProblem(assignments.map(({ brokerIds }) => brokerIds))
    : 'Replica assignments must name the partitions 0, 1, 2, … each once.'
  return problem === undefined
    ? undefined
    : { errorCode: ErrorCode.INVALID_REPLICA_ASSIGNMENT, errorMessage: problem }
}

function groupByName(topics: readonly TopicRequest[]): Map<string, TopicRequest[]> {
  const byName = new Map<string, TopicRequest[]>()
  for (const topic of topics) {
    const same = byName.get(topic.name)
    if (same === undefined) byName.set(topic.name, [topic])
    else same.push(topic)
  }
  return byName
}

function failure(name: string, { errorCode, errorMessage }: Refusal): TopicResponse {
  return { name, errorCode, errorMessage, configs: null }
}
