import {
  type AddOffsetsToTxnRequest,
  type AddOffsetsToTxnResponseInput,
  addOffsetsToTxn,
  ErrorCode,
} from '@streambus/protocol'
import type { BrokerServices, Handler } from '../handler.ts'
import { fencedCode } from '../transactions/wire-codes.ts'

/**
 * AddOffsetsToTxn (key 25), versions 0–4: what the group commits next with TxnOffsetCommit is part of the
 * producer's transaction. Clients of KIP-890 do not send it, because their TxnOffsetCommit does it.
 */
const FENCED_SINCE = 2

export function addOffsetsToTxnHandler({
  transactions,
}: BrokerServices): Handler<AddOffsetsToTxnRequest, AddOffsetsToTxnResponseInput> {
  return {
    api: addOffsetsToTxn,
    minVersion: 0,
    maxVersion: 4,
    async handle({ transactionalId, producerId, producerEpoch, groupId }, { version }) {
      if (transactionalId === '') return { throttleTimeMs: 0, errorCode: ErrorCode.INVALID_REQUEST }
      const producer = { producerId: Number(producerId), producerEpoch }
      const errorCode = await transactions.addOffsets(transactionalId, producer, groupId, 0)
      return { throttleTimeMs: 0, errorCode: version >= FENCED_SINCE ? errorCode : fencedCode(errorCode) }
    },
  }
}
