import {
  ErrorCode,
  type InitProducerIdRequest,
  type InitProducerIdResponseInput,
  initProducerId,
} from '@streambus/protocol'
import type { BrokerServices, Handler } from '../handler.ts'
import { refusalOf } from '../storage-errors.ts'
import { fencedCode } from '../transactions/wire-codes.ts'

/**
 * InitProducerId (key 22), versions 0–5. Without a transactional id: a new producer id with epoch 0, also for a
 * producer that had one before. With one: the id's producer with its next epoch, so that whoever held it before
 * is fenced; what that one left open is aborted first, and the answer is CONCURRENT_TRANSACTIONS until it is.
 *
 * A producer that names the id and epoch it has (version 3) goes on with them (KIP-360). A fenced one is told
 * PRODUCER_FENCED, before version 4 INVALID_PRODUCER_EPOCH.
 */
const FENCED_SINCE = 4
const NONE = -1

export function initProducerIdHandler({
  producerIds,
  transactions,
}: BrokerServices): Handler<InitProducerIdRequest, InitProducerIdResponseInput> {
  return {
    api: initProducerId,
    minVersion: 0,
    maxVersion: 5,
    async handle(request, { version }) {
      const { transactionalId, transactionTimeoutMs, producerEpoch } = request
      const producerId = Number(request.producerId)
      if (transactionalId === null) {
        try {
          const fresh = await producerIds.next()
          return { errorCode: ErrorCode.NONE, producerId: BigInt(fresh), producerEpoch: 0 }
        } catch (error) {
          return { errorCode: refusalOf(error).errorCode, producerEpoch: -1 }
        }
      }
      if ((producerId === NONE) !== (producerEpoch === NONE)) {
        return { errorCode: ErrorCode.INVALID_REQUEST, producerEpoch: -1 }
      }
      const expected = producerId === NONE ? null : { producerId, producerEpoch }
      const answer = await transactions.initProducer(transactionalId, transactionTimeoutMs, expected)
      return {
        errorCode: version >= FENCED_SINCE ? answer.errorCode : fencedCode(answer.errorCode),
        producerId: BigInt(answer.producerId),
        producerEpoch: answer.producerEpoch,
      }
    },
  }
}
