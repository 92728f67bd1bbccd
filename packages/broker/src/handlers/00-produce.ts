import { ErrorCode, type ProduceRequest, type ProduceResponseInput, produce } from '@streambus/protocol'
import type { AppendBatch, AppendResult } from '@streambus/storage'
import type { BrokerServices, Handler } from '../handler.ts'
import { ConnectionRefusal } from '../network/connection.ts'
import { refuseBatch } from '../produce/batch-check.ts'
import { wireCodeOf } from '../storage-errors.ts'

/**
 * Produce (key 0). Versions 0–11 are advertised, because librdkafka up to 2.11 turns compression off where
 * the minimum is not 0; versions 0–2 carry record formats that are not served and close the connection.
 *
 * Every partition succeeds or fails by itself. What passes `refuseBatch` goes to the store in one append, and
 * the answer leaves when the store says that each batch is durable. acks=0 gets no answer, and a closed
 * connection where something was refused. acks=1 and acks=all are the same with one replica.
 *
 * Left out: transactions (transactional batches are refused with INVALID_TXN_STATE), topic ids (v13), the
 * timeout (an append takes as long as the disk does), decompression: a compressed batch is checked by its
 * header and CRC only.
 */
type Topics = ProduceResponseInput['responses']
type PartitionResponse = Topics[number]['partitionResponses'][number]

/** Where the result of an append goes. */
interface Appended {
  readonly partitions: PartitionResponse[]
  readonly position: number
  readonly logAppendTimeMs: bigint
}

const NOT_APPENDED = -1n

export function produceHandler({
  store,
  topicSettings,
  clock,
}: BrokerServices): Handler<ProduceRequest, ProduceResponseInput> {
  return {
    api: produce,
    minVersion: 0,
    maxVersion: 11,
    mayOverlap: true,
    handle({ acks, topicData }, { version }) {
      const acksAllowed = acks === -1 || acks === 1 || acks === 0
      const nowMs = clock()
      const responses: { name: string; partitionResponses: PartitionResponse[] }[] = []
      const batches: AppendBatch[] = []
      const appended: Appended[] = []
      let refused = false

      for (const { name, partitionData } of topicData) {
        const topic = store.topics.byName(name)
        const partitions: PartitionResponse[] = []
        responses.push({ name, partitionResponses: partitions })
        for (const { index, records } of partitionData) {
          const logId = topic?.logs[index]
          let response: PartitionResponse | undefined
          if (!acksAllowed) {
            response = failure(index, ErrorCode.INVALID_REQUIRED_ACKS, 'acks must be 0, 1 or -1 (all).')
          } else if (topic === undefined || logId === undefined) {
            response = failure(index, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, null)
          } else {
            const settings = topicSettings.of(topic)
            const refusal = refuseBatch(records, version, settings, nowMs)
            if (refusal !== undefined) {
              response = failure(index, refusal.errorCode, refusal.errorMessage)
            } else {
              const bytes = records!
              batches.push(
                settings.logAppendTime ? { logId, bytes, logAppendTimeMs: nowMs } : { logId, bytes },
              )
              const logAppendTimeMs = settings.logAppendTime ? BigInt(nowMs) : -1n
              appended.push({ partitions, position: partitions.length, logAppendTimeMs })
              response = { index, errorCode: ErrorCode.NONE, baseOffset: NOT_APPENDED }
            }
          }
          if (response.errorCode !== ErrorCode.NONE) refused = true
          partitions.push(response)
        }
      }

      const answer = (results: readonly AppendResult[]): ProduceResponseInput | null => {
        for (const [at, result] of results.entries()) {
          const { partitions, position, logAppendTimeMs } = appended[at]!
          const { index } = partitions[position]!
          if (result.error !== null) {
            partitions[position] = failure(index, wireCodeOf(result.error), result.error.message)
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
      return batches.length === 0 ? answer([]) : store.append(batches).then(answer)
    },
  }
}

function failure(index: number, errorCode: number, errorMessage: string | null): PartitionResponse {
  return { index, errorCode, baseOffset: NOT_APPENDED, errorMessage }
}
