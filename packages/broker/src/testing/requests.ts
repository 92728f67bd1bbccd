import {
  batchesIn,
  createTopics,
  decodeRecords,
  encodeRecordBatch,
  type FetchRequestInput,
  fetch,
  type ProduceRequestInput,
  produce,
  type RecordBatchOptions,
} from '@streambus/protocol'
import type { RawClient } from './raw-client.ts'

/** Requests that tests of several handlers need. */

export async function createTopic(
  client: RawClient,
  name: string,
  options: { partitions?: number; configs?: Record<string, string> } = {},
): Promise<{ topicId: string }> {
  const { topics } = await client.request(createTopics, 7, {
    topics: [
      {
        name,
        numPartitions: options.partitions ?? 1,
        replicationFactor: 1,
        assignments: [],
        configs: Object.entries(options.configs ?? {}).map(([name, value]) => ({ name, value })),
      },
    ],
  })
  const [topic] = topics
  if (topic?.errorCode !== 0) throw new Error(`topic ${name} not created: ${topic?.errorMessage}`)
  return topic
}

export function batchOf(values: readonly string[], options: RecordBatchOptions = {}): Uint8Array {
  const timestamp = Date.now()
  return encodeRecordBatch(
    values.map((value) => ({ value, timestamp })),
    options,
  )
}

export function produceRequest(
  topic: string,
  partitions: readonly { index: number; records: Uint8Array | null }[],
  options: { acks?: number } = {},
): ProduceRequestInput {
  return {
    acks: options.acks ?? -1,
    timeoutMs: 1000,
    topicData: [{ name: topic, partitionData: partitions }],
  }
}

/** Produces one batch to partition 0 and returns the answer for it. */
export async function produceBatch(client: RawClient, topic: string, records: Uint8Array, version = 9) {
  const { responses } = await client.request(produce, version, produceRequest(topic, [{ index: 0, records }]))
  return responses[0]!.partitionResponses[0]!
}

export function fetchRequest(
  topic: string,
  partitions: readonly { partition: number; fetchOffset: number; maxBytes?: number }[],
  options: Partial<FetchRequestInput> = {},
): FetchRequestInput {
  return {
    maxWaitMs: 0,
    minBytes: 1,
    maxBytes: 50 * 1024 * 1024,
    topics: [
      {
        topic,
        partitions: partitions.map(({ partition, fetchOffset, maxBytes }) => ({
          partition,
          fetchOffset: BigInt(fetchOffset),
          partitionMaxBytes: maxBytes ?? 1024 * 1024,
        })),
      },
    ],
    ...options,
  }
}

/** Fetches partition 0 from an offset, without waiting. */
export async function fetchPartition(client: RawClient, topic: string, fetchOffset: number, version = 12) {
  const { responses } = await client.request(
    fetch,
    version,
    fetchRequest(topic, [{ partition: 0, fetchOffset }]),
  )
  return responses[0]!.partitions[0]!
}

/** The values of all records, with their offsets. */
export function valuesOf(records: Uint8Array | null): { offset: number; value: string }[] {
  const values: { offset: number; value: string }[] = []
  for (const { position, byteLength } of batchesIn(records ?? new Uint8Array(0))) {
    for (const record of decodeRecords(records!.subarray(position, position + byteLength))) {
      values.push({ offset: Number(record.offset), value: Buffer.from(record.value!).toString() })
    }
  }
  return values
}
