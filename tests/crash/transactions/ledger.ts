/** Reads what transactions left, once all of them have ended. */
import { setTimeout as delay } from 'node:timers/promises'
import type { RawConnection } from '../../../bench/wire/raw-connection.ts'
import { endOffsets } from '../../../bench/wire/topics.ts'
import { askOffsets, type ToldOffset } from '../groups/committed-offsets.ts'
import { readCommitted } from './committed-read.ts'
import type { LedgerContent } from './transaction-check.ts'
import type { TransactionalHistory } from './transactional-history.ts'

const POLL_MS = 5
const MARKERS_TIMEOUT_MS = 20_000

export async function readLedger(
  connection: RawConnection,
  { topic, partitions }: { readonly topic: string; readonly partitions: number },
  histories: readonly TransactionalHistory[],
): Promise<LedgerContent> {
  const ends = await endsWithoutOpenTransactions(connection, topic, partitions)
  const content: (Uint8Array | null)[][] = []
  for (const [partition, end] of ends.entries()) {
    content.push(await readCommitted(connection, topic, partition, end))
  }
  const offsets: (ToldOffset | null)[] = []
  for (const { group } of histories) {
    offsets.push((await askOffsets(connection, topic, group, [0])).get(0) ?? null)
  }
  return { partitions: content, offsets }
}

/** The broker answers the end of a transaction before its markers have reached every partition. */
async function endsWithoutOpenTransactions(
  connection: RawConnection,
  topic: string,
  partitions: number,
): Promise<number[]> {
  const deadlineMs = performance.now() + MARKERS_TIMEOUT_MS
  for (;;) {
    const ends = await endOffsets(connection, topic, partitions)
    const stable = await endOffsets(connection, topic, partitions, 'committed')
    if (ends.every((end, partition) => end === stable[partition])) return ends
    if (performance.now() > deadlineMs) {
      throw new Error(
        `${topic}: a transaction stays open; ends ${ends.join(' ')}, stable ${stable.join(' ')}`,
      )
    }
    await delay(POLL_MS)
  }
}
