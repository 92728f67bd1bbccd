/** One `send` or `sendBatch` of kafkajs: checked, partitioned, handed to a producer of the SDK, and answered. */
import type { Cluster, TopicInfo } from '../cluster.ts'
import type { OutgoingMessage, SentMessage } from '../message.ts'
import { KafkaJSNonRetriableError } from './errors.ts'
import type {
  ICustomPartitioner,
  Message,
  ProducerBatch,
  RecordMetadata,
  TopicMessages,
} from './producer-types.ts'
import type { IHeaders, PartitionMetadata } from './types.ts'

/** A producer, or an open transaction of one. */
export interface Target {
  sendBatch(topic: string, messages: readonly OutgoingMessage[]): Promise<SentMessage[]>
}

type Partitioner = ReturnType<ICustomPartitioner>

/** Throws where kafkajs does. Topics that are named several times are put together. */
export function checkedBatch(
  { acks, topicMessages = [] }: ProducerBatch,
  idempotent: boolean,
): TopicMessages[] {
  if (topicMessages.some(({ topic }) => !topic)) throw new KafkaJSNonRetriableError('Invalid topic')
  if (idempotent && (acks ?? -1) !== -1) {
    throw new KafkaJSNonRetriableError(
      "Not requiring ack for all messages invalidates the idempotent producer's EoS guarantees",
    )
  }
  const byTopic = new Map<string, Message[]>()
  for (const { topic, messages } of topicMessages) {
    if (!Array.isArray(messages)) {
      throw new KafkaJSNonRetriableError(`Invalid messages array [${String(messages)}] for topic "${topic}"`)
    }
    const withoutValue = messages.find(({ value }) => value === undefined)
    if (withoutValue !== undefined) {
      const shown = JSON.stringify(withoutValue)
      throw new KafkaJSNonRetriableError(`Invalid message without value for topic "${topic}": ${shown}`)
    }
    byTopic.set(topic, [...(byTopic.get(topic) ?? []), ...messages])
  }
  return [...byTopic].map(([topic, messages]) => ({ topic, messages }))
}

/** Sends to all topics at once; one answer per partition that got something. */
export async function sendTo(
  target: Target,
  cluster: Cluster,
  partitioner: Partitioner,
  batch: readonly TopicMessages[],
  allowAutoTopicCreation: boolean,
): Promise<RecordMetadata[]> {
  const answers = await Promise.all(
    batch.map(async ({ topic, messages }) => {
      const info = await cluster.topic(topic, { create: allowAutoTopicCreation })
      const partitionMetadata = partitionMetadataOf(info)
      const nowMs = Date.now()
      const outgoing = messages.map((message) => ({
        ...sdkMessage(message, nowMs),
        partition: partitioner({ topic, partitionMetadata, message }),
      }))
      return recordMetadata(outgoing, await target.sendBatch(topic, outgoing))
    }),
  )
  return answers.flat()
}

const knownMetadata = new WeakMap<TopicInfo, PartitionMetadata[]>()

export function partitionMetadataOf(info: TopicInfo): PartitionMetadata[] {
  let metadata = knownMetadata.get(info)
  if (metadata === undefined) {
    metadata = info.partitions.map(({ partition, leader, replicas, inSyncReplicas }) => ({
      partitionErrorCode: 0,
      partitionId: partition,
      leader,
      replicas: [...replicas],
      isr: [...inSyncReplicas],
      offlineReplicas: [],
    }))
    knownMetadata.set(info, metadata)
  }
  return metadata
}

function sdkMessage({ key, value, headers, timestamp }: Message, nowMs: number): OutgoingMessage {
  return {
    key: bytesOf(key),
    value: bytesOf(value),
    headers: headerList(headers),
    timestamp: timestamp === undefined ? nowMs : Number(timestamp),
  }
}

/** What is neither text nor bytes is sent as the text it is converted to. */
function bytesOf(value: Buffer | string | null | undefined): Uint8Array | string | null {
  if (value === null || value === undefined) return null
  return value instanceof Uint8Array ? value : String(value)
}

function headerList(headers: IHeaders = {}): { key: string; value: Uint8Array | string | null }[] {
  return Object.entries(headers).flatMap(([key, value]) =>
    Array.isArray(value)
      ? value.map((one) => ({ key, value: bytesOf(one) }))
      : [{ key, value: bytesOf(value) }],
  )
}

function recordMetadata(
  outgoing: readonly OutgoingMessage[],
  sent: readonly SentMessage[],
): RecordMetadata[] {
  const byPartition = new Map<number, { first: SentMessage; asked: number }>()
  sent.forEach((one, index) => {
    const known = byPartition.get(one.partition)
    if (known !== undefined && known.first.offset <= one.offset) return
    byPartition.set(one.partition, { first: one, asked: outgoing[index]!.timestamp as number })
  })
  return [...byPartition].map(([partition, { first, asked }]) => ({
    topicName: first.topic,
    partition,
    errorCode: 0,
    baseOffset: String(first.offset),
    logAppendTime: first.timestamp === asked ? '-1' : String(first.timestamp),
  }))
}
