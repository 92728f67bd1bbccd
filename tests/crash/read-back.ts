/** Everything a partition holds, from offset 0 to its end, batch by batch as it lies there. */
import { batchesIn, batchHeader, errorByCode, fetch } from '@streambus/protocol'
import type { RawConnection } from '../../bench/wire/raw-connection.ts'

const FETCH_VERSION = 12
const MAX_BYTES = 4 * 1024 * 1024

/** Yields the batches of one answer after the other, as views of it, up to the offset `end`. */
export async function* readPartition(
  connection: RawConnection,
  topic: string,
  partition: number,
  end: number,
): AsyncGenerator<Uint8Array[], void, undefined> {
  let offset = 0
  while (offset < end) {
    const { responses } = await connection.request(fetch, FETCH_VERSION, fetchFrom(topic, partition, offset))
    const answer = responses[0]?.partitions[0]
    if (answer === undefined) throw new Error(`no answer for partition ${partition}`)
    if (answer.errorCode !== 0) {
      throw new Error(`partition ${partition} at ${offset}: ${errorByCode(answer.errorCode)?.name}`)
    }
    const records = answer.records as Uint8Array | null
    const batches: Uint8Array[] = []
    if (records !== null) {
      for (const { position, byteLength } of batchesIn(records)) {
        batches.push(records.subarray(position, position + byteLength))
      }
    }
    const last = batches.at(-1)
    if (last === undefined) throw new Error(`partition ${partition} brings nothing at ${offset} of ${end}`)
    yield batches
    const next = batchHeader.baseOffset(last, 0) + batchHeader.lastOffsetDelta(last, 0) + 1
    if (next <= offset) throw new Error(`partition ${partition} goes back from ${offset} to ${next}`)
    offset = next
  }
}

/** From one partition, in no session, answered at once. */
export function fetchFrom(topic: string, partition: number, offset: number, isolationLevel = 0) {
  return {
    replicaId: -1,
    maxWaitMs: 0,
    minBytes: 0,
    maxBytes: MAX_BYTES,
    isolationLevel,
    sessionId: 0,
    sessionEpoch: -1,
    topics: [
      {
        topic,
        partitions: [
          {
            partition,
            currentLeaderEpoch: -1,
            fetchOffset: BigInt(offset),
            lastFetchedEpoch: -1,
            logStartOffset: -1n,
            partitionMaxBytes: MAX_BYTES,
          },
        ],
      },
    ],
    forgottenTopicsData: [],
    rackId: '',
  }
}
