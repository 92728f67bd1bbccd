import { initProducerId } from '@streambus/protocol'
import type { Cluster } from '../cluster.ts'
import { brokerError, isStreamBusError } from '../errors.ts'
import type { ProducerIdentity } from './partition-queue.ts'

/** No transactional id: the timeout has no meaning, and brokers expect a positive one. */
const noTransactionTimeoutMs = 60_000

/**
 * Asks any broker for a producer id. Undefined where the brokers do not have the request: then batches go
 * without sequence numbers.
 */
export async function allocateProducerId(
  cluster: Cluster,
  timeoutMs: number,
): Promise<ProducerIdentity | undefined> {
  try {
    return await cluster.retrying(
      async () => {
        const connection = await cluster.controlConnection()
        const { errorCode, producerId, producerEpoch } = await connection.request(initProducerId, {
          transactionalId: null,
          transactionTimeoutMs: noTransactionTimeoutMs,
        })
        if (errorCode !== 0) throw brokerError(errorCode, 'Cannot get a producer id')
        return { producerId: Number(producerId), producerEpoch }
      },
      { timeoutMs },
    )
  } catch (error) {
    if (isStreamBusError(error) && error.code === 'UNSUPPORTED_API') return undefined
    throw error
  }
}
