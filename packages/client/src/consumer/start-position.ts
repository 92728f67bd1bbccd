import type { Cluster, RetryOptions } from '../cluster.ts'
import { StreamBusError } from '../errors.ts'
import { findOffsets, type Isolation, type OffsetQuery, type TopicPartition } from '../list-offsets.ts'

/**
 * Where reading begins: the first message still held, the end of the log, an offset (0, 1, 2, …), that many
 * messages before the end (-1, -2, …), or the first message of that time or later.
 */
export type StartPosition = 'earliest' | 'latest' | number | Date

export interface ReadingRange extends TopicPartition {
  readonly start: number
  /** Reading ends before this offset; infinite when it goes on for ever. */
  readonly end: number
}

export function checkStartPosition(from: StartPosition): void {
  const valid =
    from === 'earliest' ||
    from === 'latest' ||
    (typeof from === 'number' && Number.isSafeInteger(from)) ||
    (from instanceof Date && !Number.isNaN(from.getTime()))
  if (!valid) {
    throw new StreamBusError('INVALID_ARGUMENT', `${String(from)} is not a position to start from.`)
  }
}

/** The ends of partitions as they are now. */
export async function endsOf(
  cluster: Cluster,
  lane: string,
  partitions: readonly TopicPartition[],
  isolation: Isolation,
  options: RetryOptions = {},
): Promise<number[]> {
  const questions = partitions.map(({ topic, partition }) => ({ topic, partition, at: 'latest' as const }))
  const found = await findOffsets(cluster, lane, questions, { ...options, isolation })
  return found.map(({ offset }) => offset ?? 0)
}

/** Turns a position into offsets, asking the brokers only for what the position needs. */
export async function readingRanges(
  cluster: Cluster,
  lane: string,
  partitions: readonly TopicPartition[],
  from: StartPosition,
  untilEnd: boolean,
  isolation: Isolation,
  options: RetryOptions = {},
): Promise<ReadingRange[]> {
  const ask = async (at: OffsetQuery, end = isolation) => {
    const found = await findOffsets(
      cluster,
      lane,
      partitions.map((one) => ({ ...one, at })),
      { ...options, isolation: end },
    )
    return found.map(({ offset }) => offset)
  }
  const fromEnd = from === 'latest' || (typeof from === 'number' && from < 0)
  const latest = fromEnd || untilEnd || from instanceof Date ? await ask('latest') : []
  const earliest = from === 'earliest' || (fromEnd && from !== 'latest') ? await ask('earliest') : []
  const ofTime = from instanceof Date ? await ask({ timestampMs: from.getTime() }) : []
  // Behind the last stable offset there may be more already, which is only not to be read yet.
  const isBehind = typeof from === 'number' && latest.some((last) => from > (last ?? 0))
  const written =
    isBehind && isolation === 'read_committed' ? await ask('latest', 'read_uncommitted') : latest
  return partitions.map((one, index) => {
    const last = latest[index] ?? 0
    let start: number
    if (from === 'earliest') start = earliest[index] ?? 0
    else if (from === 'latest') start = last
    else if (from instanceof Date) start = ofTime[index] ?? last
    else start = from >= 0 ? from : Math.max(earliest[index] ?? 0, last + from)
    // A broker would refuse it, but a reader who stops at the end never asks for what lies behind it.
    if (untilEnd && start > (written[index] ?? 0)) {
      throw new StreamBusError(
        'OFFSET_OUT_OF_RANGE',
        `Offset ${start} of ${one.topic}/${one.partition} is out of range: it ends at ${written[index]}.`,
      )
    }
    return { ...one, start, end: untilEnd ? last : Number.POSITIVE_INFINITY }
  })
}
