/** Transactions seen from outside: which there are, what they hold up, and how to end one. */
import {
  describeProducers,
  describeTransactions,
  ErrorCode,
  initProducerId,
  listTransactions,
  writeTxnMarkers,
} from '@streambus/protocol'
import type { BrokerInfo, Cluster, RetryOptions } from '../cluster.ts'
import type { Connection } from '../connection.ts'
import { brokerError, StreamBusError } from '../errors.ts'
import type { Coordinators } from '../groups/coordinators.ts'
import { exactOffset, noLeader, type TopicPartition, unknownPartition } from '../list-offsets.ts'
import { wholeNumber } from '../options.ts'
import { versionFor } from '../version-for.ts'

const FENCING_TIMEOUT_MS = 60_000

export interface TransactionListing {
  readonly transactionalId: string
  readonly producerId: number
  /** Kafka's name: Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort. */
  readonly state: string
  readonly coordinator: BrokerInfo
}

export interface TransactionDescription extends TransactionListing {
  readonly producerEpoch: number
  readonly timeoutMs: number
  /** Milliseconds since the Unix epoch; null while no transaction is open. */
  readonly startedAtMs: number | null
  readonly partitions: readonly TopicPartition[]
}

export interface ProducerDescription {
  readonly producerId: number
  readonly producerEpoch: number
  /** -1 where the partition holds no message of it. */
  readonly lastSequence: number
  /** Milliseconds since the Unix epoch, -1 where unknown. */
  readonly lastTimestampMs: number
  readonly coordinatorEpoch: number
  /** Offset of the first message of its open transaction, null where none is open. */
  readonly transactionStartOffset: number | null
}

export interface TransactionFilter {
  /** Kafka's names, as in `TransactionListing.state`. Default: all. */
  states?: readonly string[]
  /** Default: all. */
  producerIds?: readonly number[]
  /** Only those that have been open for longer. Needs Apache Kafka 3.8. */
  minDurationMs?: number
  /** A regular expression (RE2) of transactional ids. Needs Apache Kafka 4.1. */
  idPattern?: string
}

/** Every transactional id, by name. Each broker tells those it coordinates. */
export async function listAllTransactions(
  cluster: Cluster,
  lane: string,
  {
    states = [],
    producerIds = [],
    minDurationMs,
    idPattern,
    ...options
  }: TransactionFilter & RetryOptions = {},
): Promise<TransactionListing[]> {
  const needed = idPattern !== undefined ? 2 : minDurationMs !== undefined ? 1 : 0
  return await cluster.retrying(async () => {
    await cluster.describe([])
    const lists = cluster.info.brokers.map(async (coordinator) => {
      const connection = await cluster.connectionTo(coordinator.id, lane)
      versionFor(connection, listTransactions, needed, 'list transactions by duration or pattern')
      const answer = await connection.request(listTransactions, {
        stateFilters: [...states],
        producerIdFilters: producerIds.map((id) => BigInt(wholeNumber('A producer id', id))),
        ...(minDurationMs !== undefined && {
          durationFilter: BigInt(wholeNumber('minDurationMs', minDurationMs)),
        }),
        ...(idPattern !== undefined && { transactionalIdPattern: idPattern }),
      })
      if (answer.errorCode !== 0) {
        throw brokerError(answer.errorCode, `Broker ${coordinator.id} cannot list its transactions`)
      }
      if (answer.unknownStateFilters.length > 0) {
        const message = `Transactions have no such state: ${answer.unknownStateFilters.join(', ')}.`
        throw new StreamBusError('INVALID_ARGUMENT', message)
      }
      return answer.transactionStates.map(({ transactionalId, producerId, transactionState }) => ({
        transactionalId,
        producerId: Number(producerId),
        state: transactionState,
        coordinator,
      }))
    })
    return (await Promise.all(lists)).flat().sort((a, b) => (a.transactionalId < b.transactionalId ? -1 : 1))
  }, options)
}

export async function describeTransaction(
  cluster: Cluster,
  coordinators: Coordinators,
  lane: string,
  transactionalId: string,
  options: RetryOptions = {},
): Promise<TransactionDescription> {
  const ask = async (connection: Connection): Promise<TransactionDescription> => {
    const answer = await connection.request(describeTransactions, { transactionalIds: [transactionalId] })
    const found = answer.transactionStates[0]
    if (found === undefined || found.errorCode === ErrorCode.TRANSACTIONAL_ID_NOT_FOUND) {
      throw new StreamBusError(
        'UNKNOWN_TRANSACTION',
        `There is no transactional id '${transactionalId}' on this cluster.`,
        { brokerError: 'TRANSACTIONAL_ID_NOT_FOUND' },
      )
    }
    if (found.errorCode !== 0)
      throw brokerError(found.errorCode, `Cannot describe transaction '${transactionalId}'`)
    const node = (await coordinators.find('transaction', [transactionalId])).get(transactionalId)
    return {
      transactionalId,
      producerId: Number(found.producerId),
      producerEpoch: found.producerEpoch,
      state: found.transactionState,
      coordinator: cluster.info.brokers.find(({ id }) => id === node) as BrokerInfo,
      timeoutMs: found.transactionTimeoutMs,
      startedAtMs: found.transactionStartTimeMs < 0n ? null : Number(found.transactionStartTimeMs),
      partitions: found.topics
        .flatMap(({ topic, partitions }) => partitions.map((partition) => ({ topic, partition })))
        .sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1)),
    }
  }
  return await coordinators.retrying('transaction', transactionalId, lane, ask, options)
}

/** A new producer of the same transactional id fences the old one, and aborts what that left open. */
export async function abortTransaction(
  cluster: Cluster,
  coordinators: Coordinators,
  lane: string,
  transactionalId: string,
  options: RetryOptions = {},
): Promise<void> {
  const described = await describeTransaction(cluster, coordinators, lane, transactionalId, options)
  const { state, timeoutMs } = described
  if (state !== 'Ongoing' && state !== 'PrepareAbort') {
    const message = `Transactional id '${transactionalId}' has no open transaction to abort: its state is ${state}.`
    throw new StreamBusError('UNKNOWN_TRANSACTION', message)
  }
  const doing = `Cannot abort transaction '${transactionalId}'`
  await takeOver(coordinators, lane, transactionalId, timeoutMs, doing, options)
}

/** Whoever the id belongs to from now on, which is nobody: the next producer gets an epoch after this one. */
export interface FencedProducer {
  readonly producerId: number
  readonly producerEpoch: number
}

/** The timeout is that of a transaction nobody will begin, and has only to be one that the broker allows. */
export async function fenceProducerOf(
  coordinators: Coordinators,
  lane: string,
  transactionalId: string,
  options: RetryOptions = {},
): Promise<FencedProducer> {
  const doing = `Cannot fence the producer '${transactionalId}'`
  return await takeOver(coordinators, lane, transactionalId, FENCING_TIMEOUT_MS, doing, options)
}

/** While an abort is being completed the answer is CONCURRENT_TRANSACTIONS, so that this waits for its end. */
async function takeOver(
  coordinators: Coordinators,
  lane: string,
  transactionalId: string,
  transactionTimeoutMs: number,
  doing: string,
  options: RetryOptions,
): Promise<FencedProducer> {
  const ask = async (connection: Connection): Promise<FencedProducer> => {
    const answer = await connection.request(initProducerId, { transactionalId, transactionTimeoutMs })
    if (answer.errorCode !== 0) throw brokerError(answer.errorCode, doing)
    return { producerId: Number(answer.producerId), producerEpoch: answer.producerEpoch }
  }
  return await coordinators.retrying('transaction', transactionalId, lane, ask, options)
}

export async function describeProducersOf(
  cluster: Cluster,
  lane: string,
  partition: TopicPartition,
  options: RetryOptions = {},
): Promise<ProducerDescription[]> {
  const ask = (connection: Connection) => askProducers(connection, partition)
  return await onLeader(cluster, lane, partition, ask, options)
}

export async function abortHanging(
  cluster: Cluster,
  lane: string,
  transaction: TopicPartition & { readonly startOffset: number },
  options: RetryOptions = {},
): Promise<void> {
  const { topic, partition, startOffset } = transaction
  const ask = async (connection: Connection) => {
    const producers = await askProducers(connection, transaction)
    const producer = producers.find(({ transactionStartOffset }) => transactionStartOffset === startOffset)
    if (producer === undefined) {
      throw new StreamBusError(
        'UNKNOWN_TRANSACTION',
        `No open transaction began at offset ${startOffset} of ${topic}/${partition}.`,
      )
    }
    const answer = await connection.request(writeTxnMarkers, {
      markers: [
        {
          producerId: BigInt(producer.producerId),
          producerEpoch: producer.producerEpoch,
          transactionResult: false,
          topics: [{ name: topic, partitionIndexes: [partition] }],
          // The partition has seen no marker of a coordinator yet where it does not know an epoch.
          coordinatorEpoch: Math.max(0, producer.coordinatorEpoch),
        },
      ],
    })
    for (const { topics } of answer.markers) {
      for (const { partitions } of topics) {
        for (const { errorCode } of partitions) {
          if (errorCode !== 0)
            throw brokerError(errorCode, `Cannot abort the transaction in ${topic}/${partition}`)
        }
      }
    }
  }
  await onLeader(cluster, lane, transaction, ask, options)
}

async function askProducers(
  connection: Connection,
  { topic, partition }: TopicPartition,
): Promise<ProducerDescription[]> {
  const answer = await connection.request(describeProducers, {
    topics: [{ name: topic, partitionIndexes: [partition] }],
  })
  const found = answer.topics[0]?.partitions[0]
  if (found === undefined) {
    throw new StreamBusError('PROTOCOL_ERROR', `The broker said nothing of ${topic}/${partition}.`)
  }
  if (found.errorCode !== 0) {
    throw brokerError(
      found.errorCode,
      `Cannot describe the producers of ${topic}/${partition}`,
      found.errorMessage,
    )
  }
  return found.activeProducers.map((producer) => ({
    producerId: Number(producer.producerId),
    producerEpoch: producer.producerEpoch,
    lastSequence: producer.lastSequence,
    lastTimestampMs: Number(producer.lastTimestamp),
    coordinatorEpoch: producer.coordinatorEpoch,
    transactionStartOffset:
      producer.currentTxnStartOffset < 0n
        ? null
        : exactOffset(producer.currentTxnStartOffset, topic, partition),
  }))
}

/** Only the leader knows; where another one leads by now, the view of the cluster is renewed. */
async function onLeader<T>(
  cluster: Cluster,
  lane: string,
  { topic, partition }: TopicPartition,
  ask: (connection: Connection) => Promise<T>,
  options: RetryOptions,
): Promise<T> {
  let stale = false
  return await cluster.retrying(async () => {
    if (stale) await cluster.refresh([topic])
    stale = true
    const { partitions } = await cluster.topic(topic, options)
    if (partitions[partition] === undefined) throw unknownPartition(topic, partition, partitions.length)
    const leader = cluster.leaderOf(topic, partition)
    if (leader < 0) throw noLeader(topic, partition)
    return await ask(await cluster.connectionTo(leader, lane))
  }, options)
}
