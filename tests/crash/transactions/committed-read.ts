/** What a consumer that reads committed records only is shown, from the start of a partition to its end. */
import {
  batchesIn,
  batchHeader,
  decodeRecords,
  errorByCode,
  fetch,
  readControlRecord,
} from '@streambus/protocol'
import type { RawConnection } from '../../../bench/wire/raw-connection.ts'
import { isolationLevels } from '../../../bench/wire/topics.ts'
import { fetchFrom } from '../read-back.ts'

const FETCH_VERSION = 12

/** Values of the records of one partition, in their order. */
export async function readCommitted(
  connection: RawConnection,
  topic: string,
  partition: number,
  end: number,
): Promise<(Uint8Array | null)[]> {
  const values: (Uint8Array | null)[] = []
  let offset = 0
  while (offset < end) {
    const request = fetchFrom(topic, partition, offset, isolationLevels.committed)
    const { responses } = await connection.request(fetch, FETCH_VERSION, request)
    const answer = responses[0]?.partitions[0]
    if (answer === undefined) throw new Error(`no answer for ${topic}-${partition}`)
    if (answer.errorCode !== 0) {
      throw new Error(`${topic}-${partition} at ${offset}: ${errorByCode(answer.errorCode).name}`)
    }
    const records = answer.records as Uint8Array | null
    const next =
      records === null ? offset : takeCommitted(records, offset, answer.abortedTransactions ?? [], values)
    if (next <= offset) throw new Error(`${topic}-${partition} brings nothing at ${offset} of ${end}`)
    offset = next
  }
  return values
}

interface AbortedTransaction {
  readonly producerId: bigint
  readonly firstOffset: bigint
}

/**
 * Adds the committed values from `offset` on and returns the offset to go on from. A batch of a producer is
 * left out from the first offset of its aborted transaction to the marker that ended it.
 */
function takeCommitted(
  records: Uint8Array,
  offset: number,
  aborted: readonly AbortedTransaction[],
  values: (Uint8Array | null)[],
): number {
  const toCome = [...aborted].sort((a, b) => Number(a.firstOffset - b.firstOffset))
  const aborting = new Set<number>()
  let next = offset
  for (const { position, byteLength } of batchesIn(records)) {
    const baseOffset = batchHeader.baseOffset(records, position)
    const lastOffset = baseOffset + batchHeader.lastOffsetDelta(records, position)
    while (toCome.length > 0 && Number(toCome[0]!.firstOffset) <= lastOffset) {
      aborting.add(Number(toCome.shift()!.producerId))
    }
    next = lastOffset + 1
    const producerId = batchHeader.producerId(records, position)
    const batch = decodeRecords(records.subarray(position, position + byteLength))
    if (batchHeader.isControl(records, position)) {
      for (const record of batch) {
        if (readControlRecord(record)?.type === 'abort') aborting.delete(producerId)
      }
      continue
    }
    if (batchHeader.isTransactional(records, position) && aborting.has(producerId)) continue
    for (const record of batch) {
      // The first batch may begin before what was asked for.
      if (Number(record.offset) >= offset) values.push(record.value)
    }
  }
  return next
}
