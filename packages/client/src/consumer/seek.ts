import type { Cluster } from '../cluster.ts'
import { StreamBusError } from '../errors.ts'
import { findOffsets, type Isolation, type OffsetQuery, type TopicPartition } from '../list-offsets.ts'
import { timestampOf } from '../message.ts'

/** A place in a partition: an offset, one of its ends, or the first message of that time (in ms) or later. */
export type SeekTarget = TopicPartition &
  (
    | { readonly offset: number | 'earliest' | 'latest'; readonly timestamp?: never }
    | { readonly timestamp: number | Date; readonly offset?: never }
  )

/** Throws INVALID_ARGUMENT where the target is no place. */
export function checkSeekTarget({ offset, timestamp }: SeekTarget): void {
  if ((offset === undefined) === (timestamp === undefined)) {
    throw new StreamBusError('INVALID_ARGUMENT', 'A seek needs an offset or a timestamp, and not both.')
  }
  if (timestamp !== undefined) timestampOf(timestamp)
  else if (offset !== 'earliest' && offset !== 'latest' && !(Number.isSafeInteger(offset) && offset >= 0)) {
    throw new StreamBusError(
      'INVALID_ARGUMENT',
      `offset must be a whole number from 0 on, 'earliest' or 'latest', not '${String(offset)}'.`,
    )
  }
}

/**
 * The offset of a target; the end of what may be read (`isolation`) where there is no message as young as the
 * timestamp.
 */
export async function soughtOffset(
  cluster: Cluster,
  lane: string,
  target: SeekTarget,
  isolation: Isolation,
): Promise<number> {
  const { topic, partition, offset, timestamp } = target
  if (typeof offset === 'number') return offset
  const ask = async (at: OffsetQuery) => {
    const [found] = await findOffsets(cluster, lane, [{ topic, partition, at }], { isolation })
    return found?.offset ?? undefined
  }
  const found = await ask(timestamp === undefined ? offset : { timestampMs: timestampOf(timestamp) })
  return found ?? (await ask('latest')) ?? 0
}
