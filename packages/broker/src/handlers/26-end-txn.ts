import { type EndTxnRequest, type EndTxnResponseInput, ErrorCode, endTxn } from '@streambus/protocol'
import type { BrokerServices, Handler } from '../handler.ts'
import { fencedCode } from '../transactions/wire-codes.ts'

/**
 * EndTxn (key 26), versions 0–5: commits or aborts, and answers when every partition has its marker.
 *
 * From version 5 each end raises the producer's epoch and answers it (KIP-890), so that a request that is
 * repeated with the epoch before is recognised, and an abort may come before anything was added.
 */
const FENCED_SINCE = 2
const NEW_EPOCH_SINCE = 5

export function endTxnHandler({ transactions }: BrokerServices): Handler<EndTxnRequest, EndTxnResponseInput> {
  return {
    api: endTxn,
    minVersion: 0,
    maxVersion: 5,
    async handle({ transactionalId, producerId, producerEpoch, committed }, { version }) {
      if (transactionalId === '') return { throttleTimeMs: 0, errorCode: ErrorCode.INVALID_REQUEST }
      const producer = { producerId: Number(producerId), producerEpoch }
      const clientVersion = version >= NEW_EPOCH_SINCE ? 2 : 0
      const ended = await transactions.endTransaction(transactionalId, producer, committed, clientVersion)
      return {
        throttleTimeMs: 0,
        errorCode: version >= FENCED_SINCE ? ended.errorCode : fencedCode(ended.errorCode),
        producerId: BigInt(ended.producerId),
        producerEpoch: ended.producerEpoch,
      }
    },
  }
}
