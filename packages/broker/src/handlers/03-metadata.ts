import {
  ErrorCode,
  type MetadataRequest,
  type MetadataResponseInput,
  metadata,
  ZERO_UUID,
} from '@streambus/protocol'
import type { LogId, LogStore, Topic } from '@streambus/storage'
import { advertisedAddress } from '../advertised-address.ts'
import { isInternalTopic } from '../coordinator/internal-topics.ts'
import type { BrokerServices, Handler } from '../handler.ts'
import {
  ALL_CLUSTER_OPERATIONS,
  ALL_TOPIC_OPERATIONS,
  NODE_ID,
  OPERATIONS_NOT_ASKED_FOR,
} from '../node-identity.ts'

/**
 * Metadata (key 3), versions 0–13: the broker, and topics with their partitions. Null asks for all topics, an
 * empty list for none (in version 0 for all). From version 12 topics may be asked for by id.
 *
 * A topic asked for by a name that does not exist is created where the broker allows it and the request does
 * (versions 0–3 always do), and answered with its leader. Left out: racks, offline replicas.
 */
type TopicResponse = MetadataResponseInput['topics'][number]

const TOPIC_IDS_SINCE = 12
const NULL_MEANS_ALL_SINCE = 1

export function metadataHandler(services: BrokerServices): Handler<MetadataRequest, MetadataResponseInput> {
  const { store, autoCreation, options, listening } = services
  return {
    api: metadata,
    minVersion: 0,
    maxVersion: 13,
    async handle(request, { version, requester }) {
      const { topics: asked, allowAutoTopicCreation } = request
      const wantsAll = asked === null || (version < NULL_MEANS_ALL_SINCE && asked.length === 0)
      // Each topic once, however often it is asked for: a short question must not have an endless answer.
      const found = new Set<Topic>(wantsAll ? store.topics.all() : [])
      const missing: TopicResponse[] = []
      for (const { name, topicId } of wantsAll ? [] : asked) {
        if (topicId !== ZERO_UUID && version >= TOPIC_IDS_SINCE) {
          const topic = store.topics.byId(topicId)
          if (topic === undefined) missing.push(absent(name, topicId, ErrorCode.UNKNOWN_TOPIC_ID))
          else found.add(topic)
        } else if (name === null) {
          missing.push(absent(version < TOPIC_IDS_SINCE ? '' : null, topicId, ErrorCode.INVALID_REQUEST))
        } else {
          const outcome = await autoCreation.findOrCreate(name, allowAutoTopicCreation)
          if (outcome.topic === undefined) missing.push(absent(name, ZERO_UUID, outcome.errorCode))
          else found.add(outcome.topic)
        }
      }
      const epochs = await leaderEpochs(store, [...found])
      const topicAuthorizedOperations = request.includeTopicAuthorizedOperations
        ? ALL_TOPIC_OPERATIONS
        : OPERATIONS_NOT_ASKED_FOR
      const { host, port } = advertisedAddress(options, listening, requester)
      return {
        brokers: [{ nodeId: NODE_ID, host, port }],
        clusterId: store.clusterId,
        controllerId: NODE_ID,
        topics: [
          ...[...found].map((topic) => describe(topic, epochs, topicAuthorizedOperations)),
          ...missing,
        ],
        clusterAuthorizedOperations: request.includeClusterAuthorizedOperations
          ? ALL_CLUSTER_OPERATIONS
          : OPERATIONS_NOT_ASKED_FOR,
      }
    },
  }
}

async function leaderEpochs(store: LogStore, topics: readonly Topic[]): Promise<Map<LogId, number>> {
  const states = await store.state(topics.flatMap(({ logs }) => logs))
  return new Map(states.map(({ logId, leaderEpoch }) => [logId, leaderEpoch]))
}

const REPLICAS = [NODE_ID]

function describe(
  { name, id, logs }: Topic,
  epochs: ReadonlyMap<LogId, number>,
  topicAuthorizedOperations: number,
): TopicResponse {
  return {
    errorCode: ErrorCode.NONE,
    name,
    topicId: id,
    isInternal: isInternalTopic(name),
    topicAuthorizedOperations,
    partitions: logs.map((logId, partitionIndex) => ({
      errorCode: ErrorCode.NONE,
      partitionIndex,
      leaderId: NODE_ID,
      // A log without a state was deleted a moment ago; the client learns it with its next request.
      leaderEpoch: epochs.get(logId) ?? 0,
      replicaNodes: REPLICAS,
      isrNodes: REPLICAS,
    })),
  }
}

function absent(name: string | null, topicId: string, errorCode: number): TopicResponse {
  return { errorCode, name, topicId, partitions: [] }
}
