import {
  batchesIn,
  batchHeader,
  decodeRecords,
  type FetchResponse,
  fetch,
  offsetFetch,
  readControlRecord,
} from '@streambus/protocol'
import type { RawClient } from './raw-client.ts'
import { fetchRequest } from './requests.ts'

interface Aborted {
  readonly producerId: number
  readonly firstOffset: number
}

/** What readers see of one partition: the values of committed records and of all, and where each view ends. */
export async function readPartition(client: RawClient, topic: string, partition: number) {
  const all = await fetchAs(client, topic, partition, 0)
  const stable = await fetchAs(client, topic, partition, 1)
  const aborted = (stable.abortedTransactions ?? []).map(
    ({ producerId, firstOffset }): Aborted => ({
      producerId: Number(producerId),
      firstOffset: Number(firstOffset),
    }),
  )
  return {
    highWatermark: Number(all.highWatermark),
    lastStableOffset: Number(stable.lastStableOffset),
    aborted,
    all: visibleValues(all.records, []),
    committed: visibleValues(stable.records, aborted),
  }
}

async function fetchAs(
  client: RawClient,
  topic: string,
  partition: number,
  isolationLevel: number,
): Promise<FetchResponse['responses'][number]['partitions'][number]> {
  const request = fetchRequest(topic, [{ partition, fetchOffset: 0 }], { isolationLevel })
  const { responses } = await client.request(fetch, 12, request)
  return responses[0]!.partitions[0]!
}

/** What a consumer hands out: no markers, and nothing of the transactions that it was told were aborted. */
function visibleValues(records: Uint8Array | null, aborted: readonly Aborted[]): string[] {
  const values: string[] = []
  const waiting = [...aborted].sort((a, b) => a.firstOffset - b.firstOffset)
  const ignored = new Set<number>()
  for (const { position, byteLength } of batchesIn(records ?? new Uint8Array(0))) {
    const batch = records!.subarray(position, position + byteLength)
    const decoded = decodeRecords(batch)
    const producerId = batchHeader.producerId(batch, 0)
    const lastOffset = batchHeader.baseOffset(batch, 0) + batchHeader.lastOffsetDelta(batch, 0)
    while (waiting.length > 0 && waiting[0]!.firstOffset <= lastOffset) {
      ignored.add(waiting.shift()!.producerId)
    }
    for (const record of decoded) {
      if (decoded.isControl) {
        if (readControlRecord(record)?.type === 'abort') ignored.delete(producerId)
      } else if (!(decoded.isTransactional && ignored.has(producerId))) {
        values.push(Buffer.from(record.value!).toString())
      }
    }
  }
  return values
}

/** The committed offset of a group in partition 0, -1 where there is none, and the error code. */
export async function readOffset(client: RawClient, groupId: string, topic: string, requireStable = false) {
  const { groups } = await client.request(offsetFetch, 8, {
    groups: [{ groupId, topics: [{ name: topic, partitionIndexes: [0] }] }],
    requireStable,
  })
  const { committedOffset, errorCode } = groups[0]!.topics[0]!.partitions[0]!
  return { offset: Number(committedOffset), errorCode }
}
