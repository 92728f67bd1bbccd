import { apiVersions, decodeResponse, encodeResponse } from '@streambus/protocol'
import type { FlakyProxy } from './flaky-proxy.ts'

export type TransactionVersion = 1 | 2

/** The version of ApiVersions that the SDK asks for first. */
const askedVersion = 3

/**
 * Makes the broker behind the proxy say what one says whose cluster has not finalized transactions as of KIP-890:
 * clients then work as of KIP-98.
 */
export function limitTransactions(proxy: FlakyProxy, version: TransactionVersion): void {
  if (version === 2) return
  proxy.alterFirstAnswer((frame) => {
    const { correlationId, body } = decodeResponse(apiVersions, askedVersion, frame)
    const finalizedFeatures = body.finalizedFeatures.filter(({ name }) => name !== 'transaction.version')
    const parts = encodeResponse(apiVersions, askedVersion, correlationId, { ...body, finalizedFeatures })
    // The parts are a whole frame, which begins with its length.
    return Buffer.concat(parts as Uint8Array[]).subarray(4)
  })
}
