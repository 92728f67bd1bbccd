/** Topics made, changed and deleted. What they are is told by topic-description.ts. */
import { createPartitions, createTopics, deleteTopics, ErrorCode, ZERO_UUID } from '@streambus/protocol'
import { unknownTopicPatienceMs } from '../cluster.ts'
import { brokerError, StreamBusError } from '../errors.ts'
import { versionFor } from '../version-for.ts'
import { type AdminOptions, type AdminRequests, type Outcome, onlyOne } from './admin-requests.ts'

export interface CreateTopicOptions {
  /** Default: what the broker is set up with. */
  partitions?: number
  /** Default: what the broker is set up with. */
  replicationFactor?: number
  /** Brokers that hold each partition, the preferred leader first; instead of the two numbers above. */
  replicas?: readonly (readonly number[])[]
  /** Settings by Kafka's names: `{ 'retention.ms': '86400000' }`. */
  configs?: Readonly<Record<string, string>>
}

export interface NewTopic extends CreateTopicOptions {
  /** 1 to 249 letters, digits, dots, underscores and hyphens, but neither `.` nor `..`. */
  name: string
}

/** Where a broker is too old to tell (before Apache Kafka 2.4; ids before 2.8), null. */
export interface CreatedTopic {
  readonly name: string
  /** Null, too, where it was only checked whether it could be created. */
  readonly id: string | null
  readonly partitions: number | null
  readonly replicationFactor: number | null
}

/** A topic by its name, or by its id, which no other topic has ever had. */
export type TopicReference = string | { readonly id: string }

export interface ChangeOptions extends AdminOptions {
  /** Only checks whether the change would be made. Default false. */
  validateOnly?: boolean
}

export interface CreatePartitionsOptions extends ChangeOptions {
  /** Brokers that hold each of the new partitions, the preferred leader first. Default: the cluster chooses. */
  replicas?: readonly (readonly number[])[]
}

const topicIdsVersion = 6

export function topicKey(name: string): string {
  return `topic '${name}'`
}

export async function createEach(
  requests: AdminRequests,
  topics: readonly NewTopic[],
  options: ChangeOptions,
): Promise<Outcome<CreatedTopic>[]> {
  for (const topic of topics) checkNewTopic(topic)
  const attempt = requests.controllerAttempts(async (connection, open: readonly NewTopic[]) => {
    const answer = await connection.request(createTopics, {
      topics: open.map(({ name, partitions, replicationFactor, replicas = [], configs = {} }) => ({
        name,
        numPartitions: partitions ?? -1,
        replicationFactor: replicationFactor ?? -1,
        assignments: replicas.map((brokerIds, partitionIndex) => ({ partitionIndex, brokerIds })),
        configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
      })),
      timeoutMs: requests.brokerTimeoutMs(options),
      validateOnly: options.validateOnly ?? false,
    })
    const outcomes = new Map<string, Outcome<CreatedTopic>>()
    for (const { name, topicId, errorCode, errorMessage, ...counts } of answer.topics) {
      if (errorCode !== 0) {
        const error = brokerError(errorCode, `Cannot create topic '${name}'`, errorMessage)
        outcomes.set(topicKey(name), error)
        continue
      }
      requests.cluster.expire(name)
      outcomes.set(topicKey(name), {
        name,
        id: topicId === ZERO_UUID ? null : topicId,
        partitions: counts.numPartitions < 0 ? null : counts.numPartitions,
        replicationFactor: counts.replicationFactor < 0 ? null : counts.replicationFactor,
      })
    }
    return outcomes
  })
  return await requests.each<NewTopic, CreatedTopic>(topics, ({ name }) => topicKey(name), options, attempt)
}

function checkNewTopic({ name, partitions, replicationFactor, replicas }: NewTopic): void {
  if (replicas === undefined || (partitions === undefined && replicationFactor === undefined)) return
  const message = `Topic '${name}' has replicas, which say how many partitions and copies there are: leave out partitions and replicationFactor.`
  throw new StreamBusError('INVALID_ARGUMENT', message)
}

export async function deleteEach(
  requests: AdminRequests,
  topics: readonly TopicReference[],
  options: AdminOptions,
): Promise<Outcome<string>[]> {
  const attempt = requests.controllerAttempts(async (connection, open: readonly TopicReference[]) => {
    const names = open.filter((topic) => typeof topic === 'string')
    const needed = names.length < open.length ? topicIdsVersion : 0
    const knowsIds = versionFor(connection, deleteTopics, needed, 'delete a topic by id') >= topicIdsVersion
    const answer = await connection.request(deleteTopics, {
      ...(knowsIds
        ? {
            topics: open.map((topic) =>
              typeof topic === 'string' ? { name: topic } : { topicId: topic.id },
            ),
          }
        : { topicNames: names }),
      timeoutMs: requests.brokerTimeoutMs(options),
    })
    const outcomes = new Map<string, Outcome<string>>()
    for (const { name, topicId, errorCode, errorMessage } of answer.responses) {
      // Answers name a topic by its id, too, and one that was asked for by id by its name where there is one.
      const asked = open.find((topic) => (typeof topic === 'string' ? topic === name : topic.id === topicId))
      const reference = asked ?? name ?? { id: topicId }
      if (errorCode === 0) requests.cluster.expire(name ?? '')
      outcomes.set(
        referenceKey(reference),
        errorCode === 0 ? (name ?? topicId) : topicError(errorCode, reference, 'delete', errorMessage),
      )
    }
    return outcomes
  })
  return await requests.each(topics, referenceKey, options, attempt)
}

/** Rejects with UNKNOWN_TOPIC, INVALID_PARTITIONS. */
export async function extendTopic(
  requests: AdminRequests,
  name: string,
  count: number,
  options: CreatePartitionsOptions,
): Promise<void> {
  const attempt = requests.controllerAttempts(async (connection) => {
    const answer = await connection.request(createPartitions, {
      topics: [{ name, count, assignments: options.replicas?.map((brokerIds) => ({ brokerIds })) ?? null }],
      timeoutMs: requests.brokerTimeoutMs(options),
      validateOnly: options.validateOnly ?? false,
    })
    return new Map(
      answer.results.map(({ name: answered, errorCode, errorMessage }) => [
        topicKey(answered),
        errorCode === 0 ? undefined : topicError(errorCode, answered, 'extend', errorMessage),
      ]),
    )
  })
  onlyOne(await requests.each<string, undefined>([name], topicKey, options, attempt))
  requests.cluster.expire(name)
}

/** An error of a request about one topic. What is retriable elsewhere, that it is not known, is final here. */
export function topicError(
  code: number,
  topic: TopicReference,
  verb: string,
  detail?: string | null,
): StreamBusError {
  const shown = typeof topic === 'string' ? `'${topic}'` : `with id ${topic.id}`
  if (code !== ErrorCode.UNKNOWN_TOPIC_OR_PARTITION && code !== ErrorCode.UNKNOWN_TOPIC_ID) {
    return brokerError(code, `Cannot ${verb} topic ${shown}`, detail)
  }
  const brokerName = typeof topic === 'string' ? 'UNKNOWN_TOPIC_OR_PARTITION' : 'UNKNOWN_TOPIC_ID'
  return new StreamBusError('UNKNOWN_TOPIC', `There is no topic ${shown} on this cluster.`, {
    brokerError: brokerName,
    retriable: false,
  })
}

/** A topic that was just created is not known to every broker yet: for a moment, its absence is asked about again. */
export class TopicPatience {
  readonly #endsAtMs = performance.now() + unknownTopicPatienceMs

  with(error: StreamBusError): StreamBusError {
    if (error.code !== 'UNKNOWN_TOPIC' || performance.now() >= this.#endsAtMs) return error
    return new StreamBusError(error.code, error.message, { cause: error, retriable: true })
  }
}

function referenceKey(topic: TopicReference): string {
  return typeof topic === 'string' ? topicKey(topic) : `topic with id ${topic.id}`
}
