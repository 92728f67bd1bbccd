import { batchHeader } from '@streambus/protocol'
import type { AppendBatch, AppendResult, LogStore, ReadResult } from '@streambus/storage'
import { withOverrides } from '../controlled-store.ts'

/**
 * What a store can get wrong. A simulation that finds none of it would find nothing in the broker either.
 *
 * - `acknowledges early`: says that a write is durable before it is.
 * - `loses writes`: says so of one in fifty that it does not write at all.
 * - `loses markers`: says so of every third end of a transaction.
 * - `shows open transactions`: lets readers of what is committed see everything.
 * - `hides aborts`: does not say which transactions were aborted.
 */
export const sabotages = [
  'acknowledges early',
  'loses writes',
  'loses markers',
  'shows open transactions',
  'hides aborts',
] as const

export type Sabotage = (typeof sabotages)[number]

export function sabotaged(store: LogStore, sabotage: Sabotage): LogStore {
  switch (sabotage) {
    case 'acknowledges early':
      return withOverrides(store, {
        append: (batches) => {
          void store.append(batches)
          return pretended(store, batches)
        },
      })
    case 'loses writes':
      return withOverrides(store, { append: losing(store, 50, () => true) })
    case 'loses markers':
      return withOverrides(store, {
        append: losing(store, 3, (batches) => batches.every(({ bytes }) => batchHeader.isControl(bytes, 0))),
      })
    case 'shows open transactions':
      return withOverrides(store, {
        read: async (requests, limits) => {
          const results = await store.read(
            requests.map((request) => ({ ...request, readCommitted: false })),
            limits,
          )
          return results.map(
            (result): ReadResult =>
              result.error === null
                ? { ...result, lastStableOffset: result.highWatermark, abortedTransactions: [] }
                : result,
          )
        },
      })
    case 'hides aborts':
      return withOverrides(store, {
        read: async (requests, limits) => {
          const results = await store.read(requests, limits)
          return results.map(
            (result): ReadResult => (result.error === null ? { ...result, abortedTransactions: [] } : result),
          )
        },
      })
  }
}

/** Every so manieth append of those that `concerns` is not made. */
function losing(
  store: LogStore,
  every: number,
  concerns: (batches: readonly AppendBatch[]) => boolean,
): LogStore['append'] {
  let count = 0
  return (batches) =>
    concerns(batches) && ++count % every === 0 ? pretended(store, batches) : store.append(batches)
}

async function pretended(store: LogStore, batches: readonly AppendBatch[]): Promise<AppendResult[]> {
  const results: AppendResult[] = []
  for (const { logId } of batches) {
    const [state] = await store.state([logId])
    const { highWatermark, logStartOffset } = state!
    results.push({ error: null, baseOffset: highWatermark, logStartOffset, duplicate: false })
  }
  return results
}
