import {
  ErrorCode,
  type InitProducerIdRequest,
  type InitProducerIdResponseInput,
  initProducerId,
} from '@streambus/protocol'
import type { BrokerServices, Handler } from '../handler.ts'
import { refusalOf } from '../storage-errors.ts'

/**
 * InitProducerId (key 22), versions 0–5: gives an idempotent producer a new id with epoch 0, also when it had
 * one before.
 *
 * Left out: transactions. A transactional id is refused with UNSUPPORTED_VERSION, Kafka's answer for what a
 * broker does not serve; an empty one with INVALID_REQUEST.
 */
export function initProducerIdHandler({
  producerIds,
}: BrokerServices): Handler<InitProducerIdRequest, InitProducerIdResponseInput> {
  return {
    api: initProducerId,
    minVersion: 0,
    maxVersion: 5,
    async handle({ transactionalId }) {
      if (transactionalId !== null) {
        const errorCode = transactionalId === '' ? ErrorCode.INVALID_REQUEST : ErrorCode.UNSUPPORTED_VERSION
        return { errorCode, producerEpoch: -1 }
      }
      try {
        const producerId = await producerIds.next()
        return { errorCode: ErrorCode.NONE, producerId: BigInt(producerId), producerEpoch: 0 }
      } catch (error) {
        return { errorCode: refusalOf(error).errorCode, producerEpoch: -1 }
      }
    },
  }
}
