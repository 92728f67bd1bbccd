import {
  batchesIn,
  batchHeader,
  decodeRecords,
  type FetchResponse,
  fetch,
  readControlRecord,
} from '@streambus/protocol'
import { Client } from './network.ts'
import { check } from './simulation-failure.ts'
import type { World } from './world.ts'

/** Reads logs as a consumer with isolation.level=read_committed does, and compares with what is decided. */
export async function runCommittedReader(world: World, topics: readonly string[]): Promise<void> {
  const random = world.random.fork()
  const client = new Client(world.newName('committed-'), world.network, world.time)
  while (!world.isCalm) {
    await client.sleep(random.next() * 4000)
    const topic = random.pick(topics)
    const logs = world.topic(topic)!.logs
    const partition = random.between(0, logs.length - 1)
    const to = world.data.lastStableOffset(logs[partition]!)
    await readCommitted(world, client, topic, partition, random.between(0, to), random.between(4, 12))
  }
}

/** Returns the last stable offset that the broker tells; -1 where it gave no answer. */
export async function readCommitted(
  world: World,
  client: Client,
  topic: string,
  partition: number,
  offset: number,
  version: number,
): Promise<number> {
  const logId = world.topic(topic)!.logs[partition]!
  const response = await client.call(
    fetch,
    version,
    {
      maxWaitMs: 0,
      minBytes: 0,
      maxBytes: 10_000_000,
      isolationLevel: 1,
      topics: [
        { topic, partitions: [{ partition, fetchOffset: BigInt(offset), partitionMaxBytes: 10_000_000 }] },
      ],
    },
    {
      observe: () => (answer) => {
        const found = answer?.responses[0]?.partitions[0]
        if (found === undefined || found.errorCode !== 0) return
        const stable = world.data.lastStableOffset(logId)
        check(
          Number(found.lastStableOffset) === stable &&
            Number(found.highWatermark) === world.data.endOffset(logId),
          () =>
            `log ${logId} says that it is stable to ${found.lastStableOffset} of ${found.highWatermark}, and is to ${stable} of ${world.data.endOffset(logId)}`,
        )
        const { seen, endOffset } = visibleIn(found, offset)
        // An answer may end before that; one to a version from which on nothing is read twice does not.
        check(
          version < 10 ? endOffset <= stable : endOffset === stable,
          () => `log ${logId} shows what is below ${endOffset}, and is stable to ${stable}`,
        )
        const committed = world.data.committedValues(logId, offset, endOffset)
        check(
          seen.join() === committed.join(),
          () => `log ${logId} shows from ${offset} on ${seen}, and committed are ${committed}`,
        )
      },
    },
  )
  return Number(response?.responses[0]?.partitions[0]?.lastStableOffset ?? -1)
}

type FetchedPartition = FetchResponse['responses'][number]['partitions'][number]

/** What a consumer makes of an answer: an aborted transaction is skipped from its first batch to its marker. */
function visibleIn(
  { records, abortedTransactions }: FetchedPartition,
  fromOffset: number,
): { seen: string[]; endOffset: number } {
  const waiting = [...(abortedTransactions ?? [])].sort((one, other) =>
    Number(one.firstOffset - other.firstOffset),
  )
  const aborted = new Set<number>()
  const seen: string[] = []
  let endOffset = fromOffset
  for (const { position, byteLength } of batchesIn(records ?? new Uint8Array(0))) {
    const bytes = records!.subarray(position, position + byteLength)
    const batch = decodeRecords(bytes)
    const lastOffset = batch.baseOffset + batchHeader.lastOffsetDelta(bytes, 0)
    endOffset = lastOffset + 1
    while (waiting.length > 0 && Number(waiting[0]!.firstOffset) <= lastOffset) {
      aborted.add(Number(waiting.shift()!.producerId))
    }
    if (batch.isControl) {
      for (const record of batch) {
        if (readControlRecord(record)?.type === 'abort') aborted.delete(batch.producerId)
      }
    } else if (!(batch.isTransactional && aborted.has(batch.producerId))) {
      for (const { offset, value } of batch) {
        if (Number(offset) >= fromOffset) seen.push(Buffer.from(value!).toString())
      }
    }
  }
  return { seen, endOffset }
}
