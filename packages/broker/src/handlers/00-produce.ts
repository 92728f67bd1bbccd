import {
  batchHeader,
  ErrorCode,
  type ProduceRequest,
  type ProduceResponseInput,
  produce,
} from '@streambus/protocol'
import { type AppendBatch, StorageError } from '@streambus/storage'
import { isInternalTopic } from '../coordinator/internal-topics.ts'
import type { BrokerServices, Handler } from '../handler.ts'
import { ConnectionRefusal } from '../network/connection.ts'
import { type BatchRefusal, isRecompressed, refuseBatch } from '../produce/batch-check.ts'
import {
  appendTransactional,
  type TransactionalResult,
  transactionVersionOf,
} from '../produce/transactional-append.ts'
import { wireCodeOf } from '../storage-errors.ts'
import type { TopicPartition } from '../transactions/transaction.ts'

/**
 * Produce (key 0). Versions 0–13 are advertised, because librdkafka up to 2.11 turns compression off where
 * the minimum is not 0; versions 0–2 carry record formats that are not served and close the connection. From
 * version 13 topics by id.
 *
 * Every partition succeeds or fails by itself. What passes `refuseBatch` goes to the store in one append, and
 * the answer leaves when the store says that each batch is durable. acks=0 gets no answer, and a closed
 * connection where something was refused. acks=1 and acks=all are the same with one replica. Batches that
 * belong to a transaction are checked against it (produce/transactional-append.ts).
 *
 * What its topic stores in another codec than it was sent in goes through produce/recompression.ts first, and so
 * does what comes behind it in its log meanwhile.
 *
 * Left out: the timeout (an append takes as long as the disk does), decompression of what is stored as it was sent:
 * such a batch is checked by its header and CRC only, unless its topic is compacted.
 */
const TOPIC_IDS_SINCE = 13

type Topics = ProduceResponseInput['responses']
type PartitionResponse = Topics[number]['partitionResponses'][number]

/** Where the result of an append goes. */
interface Appended {
  readonly topic: string
  readonly partitions: PartitionResponse[]
  readonly position: number
  readonly logAppendTimeMs: bigint
}

/** The request that batches came in. */
interface Origin {
  readonly services: BrokerServices
  readonly version: number
  readonly transactionalId: string | null
}

/** A batch that goes through `recompression`. */
interface Queued {
  readonly place: Appended
  readonly result: Promise<TransactionalResult>
}

const NOT_APPENDED = -1n

export function produceHandler(services: BrokerServices): Handler<ProduceRequest, ProduceResponseInput> {
  const { store, topicSettings, clock, recompression } = services
  return {
    api: produce,
    minVersion: 0,
    maxVersion: 13,
    mayOverlap: true,
    handle({ acks, topicData, transactionalId }, { version }) {
      const usesTopicIds = version >= TOPIC_IDS_SINCE
      const acksAllowed = acks === -1 || acks === 1 || acks === 0
      const nowMs = clock()
      const responses: { name: string; topicId: string; partitionResponses: PartitionResponse[] }[] = []
      const batches: AppendBatch[] = []
      const appended: Appended[] = []
      const isTransactional: boolean[] = []
      const origin = { services, version, transactionalId }
      let queued: Queued[] | undefined
      let refused = false

      for (const { name, topicId, partitionData } of topicData) {
        const topic = usesTopicIds ? store.topics.byId(topicId) : store.topics.byName(name)
        const isInternal = topic !== undefined && isInternalTopic(topic.name)
        const partitions: PartitionResponse[] = []
        responses.push({ name, topicId, partitionResponses: partitions })
        for (const { index, records } of partitionData) {
          const logId = topic?.logs[index]
          let response: PartitionResponse | undefined
          if (!acksAllowed) {
            response = failure(index, ErrorCode.INVALID_REQUIRED_ACKS, 'acks must be 0, 1 or -1 (all).')
          } else if (topic === undefined || logId === undefined) {
            const isUnknownId = usesTopicIds && topic === undefined
            response = failure(
              index,
              isUnknownId ? ErrorCode.UNKNOWN_TOPIC_ID : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
              null,
            )
          } else if (isInternal) {
            response = failure(
              index,
              ErrorCode.INVALID_TOPIC_EXCEPTION,
              'Only the broker writes to this topic.',
            )
          } else {
            const settings = topicSettings.of(topic)
            const refusal = refuseBatch(records, version, settings, nowMs)
            if (refusal !== undefined) {
              response = refusedBatch(index, refusal)
            } else {
              const bytes = records!
              const inTransaction = batchHeader.isTransactional(bytes, 0)
              const transactionVersion = inTransaction ? transactionVersionOf(version) : 0
              const batch: AppendBatch = settings.logAppendTime
                ? { logId, bytes, transactionVersion, logAppendTimeMs: nowMs }
                : { logId, bytes, transactionVersion }
              const logAppendTimeMs = settings.logAppendTime ? BigInt(nowMs) : -1n
              const place = { topic: topic.name, partitions, position: partitions.length, logAppendTimeMs }
              const recompressedBy = isRecompressed(bytes, settings) ? settings : null
              if (recompressedBy !== null || recompression.holds(logId)) {
                const result = recompression.add({
                  batch,
                  recompressedBy,
                  arrivedAtMs: nowMs,
                  append: (batch) => append(origin, [batch], [inTransaction], [place]),
                })
                queued ??= []
                queued.push({ place, result })
              } else {
                batches.push(batch)
                isTransactional.push(inTransaction)
                appended.push(place)
              }
              response = { index, errorCode: ErrorCode.NONE, baseOffset: NOT_APPENDED }
            }
          }
          if (response.errorCode !== ErrorCode.NONE) refused = true
          partitions.push(response)
        }
      }

      const answer = (results: readonly TransactionalResult[]): ProduceResponseInput | null => {
        for (const [at, result] of results.entries()) {
          const { partitions, position, logAppendTimeMs } = appended[at]!
          const { index } = partitions[position]!
          if (result.error !== null) {
            const { error } = result
            partitions[position] =
              error instanceof StorageError
                ? failure(index, wireCodeOf(error), error.message)
                : refusedBatch(index, error)
            refused = true
          } else {
            const { baseOffset, logStartOffset } = result
            partitions[position] = {
              index,
              errorCode: ErrorCode.NONE,
              baseOffset: BigInt(baseOffset),
              logAppendTimeMs,
              logStartOffset: BigInt(logStartOffset),
            }
          }
        }
        if (acks !== 0) return { responses }
        if (refused) {
          throw new ConnectionRefusal(
            'a request with acks=0 was refused, and only closing can tell its sender',
          )
        }
        return null
      }
      const direct = batches.length === 0 ? null : append(origin, batches, isTransactional, appended)
      if (queued === undefined) return direct === null ? answer([]) : direct.then(answer)
      for (const { place } of queued) appended.push(place)
      return Promise.all([direct ?? [], ...queued.map(({ result }) => result)]).then(([results, ...others]) =>
        answer([...results, ...others]),
      )
    },
  }
}

/** Appends batches of one request; for each of them, `isTransactional` and `appended` say what and whose it is. */
function append(
  { services, version, transactionalId }: Origin,
  batches: readonly AppendBatch[],
  isTransactional: readonly boolean[],
  appended: readonly Appended[],
): Promise<readonly TransactionalResult[]> {
  if (!isTransactional.includes(true)) return services.store.append(batches)
  const partitions = appended.map(({ topic, partitions, position }): TopicPartition => {
    return { topic, partition: partitions[position]!.index }
  })
  return appendTransactional(services, { version, transactionalId, batches, isTransactional, partitions })
}

function failure(index: number, errorCode: number, errorMessage: string | null): PartitionResponse {
  return { index, errorCode, baseOffset: NOT_APPENDED, errorMessage }
}

function refusedBatch(
  index: number,
  { errorCode, errorMessage, recordIndex }: BatchRefusal,
): PartitionResponse {
  const response = failure(index, errorCode, errorMessage)
  if (recordIndex === undefined) return response
  return {
    ...response,
    recordErrors: [{ batchIndex: recordIndex, batchIndexErrorMessage: errorMessage }],
  }
}
