import {
  type DescribeProducersRequest,
  type DescribeProducersResponseInput,
  describeProducers,
  ErrorCode,
} from '@streambus/protocol'
import type { LogStore, ProducerState } from '@streambus/storage'
import type { BrokerServices, Handler } from '../handler.ts'
import { refusalOf } from '../storage-errors.ts'

/**
 * DescribeProducers (key 61), version 0: the producers that a partition remembers, and where the transactions
 * begin that they have open in it.
 */
const NO_OFFSET = -1n

type PartitionResponse = DescribeProducersResponseInput['topics'][number]['partitions'][number]

export function describeProducersHandler({
  store,
}: BrokerServices): Handler<DescribeProducersRequest, DescribeProducersResponseInput> {
  return {
    api: describeProducers,
    minVersion: 0,
    maxVersion: 0,
    async handle({ topics }) {
      // Each partition once: it has many producers, and its number is short.
      const wanted = new Map<string, Set<number>>()
      for (const { name, partitionIndexes } of topics) {
        const partitions = wanted.get(name)
        if (partitions === undefined) wanted.set(name, new Set(partitionIndexes))
        else for (const partition of partitionIndexes) partitions.add(partition)
      }
      const answers = Array.from(wanted, async ([name, partitions]) => ({
        name,
        partitions: await Promise.all(
          Array.from(partitions, (partition) =>
            describe(store, store.topics.byName(name)?.logs[partition], partition),
          ),
        ),
      }))
      return { throttleTimeMs: 0, topics: await Promise.all(answers) }
    },
  }
}

async function describe(
  store: LogStore,
  logId: number | undefined,
  partitionIndex: number,
): Promise<PartitionResponse> {
  if (logId === undefined) {
    return { partitionIndex, errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, activeProducers: [] }
  }
  try {
    const producers = await store.producers(logId)
    return { partitionIndex, errorCode: ErrorCode.NONE, activeProducers: producers.map(activeProducer) }
  } catch (error) {
    return { partitionIndex, ...refusalOf(error), activeProducers: [] }
  }
}

function activeProducer(producer: ProducerState): PartitionResponse['activeProducers'][number] {
  const { currentTransactionFirstOffset: firstOffset } = producer
  return {
    producerId: BigInt(producer.producerId),
    producerEpoch: producer.producerEpoch,
    lastSequence: producer.lastSequence,
    lastTimestamp: BigInt(producer.lastTimestampMs),
    coordinatorEpoch: producer.coordinatorEpoch,
    currentTxnStartOffset: firstOffset === null ? NO_OFFSET : BigInt(firstOffset),
  }
}
