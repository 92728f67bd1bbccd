import { batchHeader } from '@streambus/protocol'
import type { Checkpoint } from '../local/checkpoint.ts'
import type { LogId, Offset } from '../log-store.ts'
import { producerBatchIn } from '../producer-batch.ts'

/** Numbers for each batch of a producer in a checkpoint: first and last sequence, first and last offset. */
const BATCH_FIELDS = 4
/** Numbers for each aborted transaction: producer id, first and last offset, last stable offset when it had ended. */
const ABORTED_FIELDS = 4

type Producer = Checkpoint['producers'][number]

/**
 * What a checkpoint says of producers and aborted transactions, beside the batches it was made from, as far as they are
 * still there: a batch it names must be the one in the log, and no later one with a sequence may be in the log.
 *
 * What it leaves out is no fault: producers are forgotten, and aborted transactions that compaction, or the start of
 * the log, has passed.
 */
export class CheckpointProducers {
  readonly #producers = new Map<LogId, Map<number, Producer>>()
  /** By log, whose transaction begins at an offset and is open. */
  readonly #open = new Map<LogId, Map<Offset, number>>()
  readonly #aborted: ReadonlyMap<LogId, readonly number[]>

  constructor(checkpoint: Checkpoint | null) {
    for (const producer of checkpoint?.producers ?? []) {
      const [logId, producerId, , , , , transactionFirstOffset = -1] = producer
      entriesOf(this.#producers, logId).set(producerId, producer)
      if (transactionFirstOffset >= 0) entriesOf(this.#open, logId).set(transactionFirstOffset, producerId)
    }
    this.#aborted = new Map(checkpoint?.aborted ?? [])
  }

  /** What the checkpoint has wrong about an intact batch that lies before its end, as a part of a sentence; or null. */
  faultOf(logId: LogId, bytes: Uint8Array, position: number, baseOffset: Offset): string | null {
    const lastOffset = baseOffset + batchHeader.lastOffsetDelta(bytes, position)
    const batch = producerBatchIn(bytes, position, lastOffset - baseOffset)
    const aborted = this.#abortedAt(logId, baseOffset, lastOffset)
    if (aborted !== null && (batch?.marker?.type !== 'abort' || batch.producerId !== aborted)) {
      return `a transaction of producer ${aborted} was aborted at offset ${lastOffset}, where no marker of it is`
    }
    const open = this.#open.get(logId)?.get(baseOffset)
    const begins = batch?.isTransactional === true && batch.marker === null ? batch.producerId : null
    if (open !== undefined && open !== begins) {
      return `producer ${open} has a transaction open from offset ${baseOffset} on, where none of it begins`
    }
    if (batch === null) return null
    const { producerId, epoch, firstSequence, lastSequence } = batch
    const producer = this.#producers.get(logId)?.get(producerId)
    if (producer === undefined) return null
    const [, , knownEpoch, , window] = producer
    if (firstSequence < 0 || window.length === 0) return null
    const newest = window.at(-1)!
    if (baseOffset > newest) {
      return `the last batch of producer ${producerId} ends at offset ${newest}, and there is one at ${baseOffset}`
    }
    for (let at = 0; at < window.length; at += BATCH_FIELDS) {
      if (window[at + 2] !== baseOffset) continue
      const isThatBatch =
        knownEpoch === epoch &&
        window[at] === firstSequence &&
        window[at + 1] === lastSequence &&
        window[at + 3] === lastOffset
      if (isThatBatch) return null
      return `the batch of producer ${producerId} at offset ${baseOffset} has the sequences ${window[at]} to ${window[at + 1]} of epoch ${knownEpoch}, and it has ${firstSequence} to ${lastSequence} of epoch ${epoch}`
    }
    return null
  }

  /** The producer of the aborted transaction whose last offset lies in this range; null where none does. */
  #abortedAt(logId: LogId, baseOffset: Offset, lastOffset: Offset): number | null {
    const fields = this.#aborted.get(logId) ?? []
    let low = 0
    let high = fields.length / ABORTED_FIELDS
    while (low < high) {
      const middle = (low + high) >>> 1
      if (fields[middle * ABORTED_FIELDS + 2]! < baseOffset) low = middle + 1
      else high = middle
    }
    const at = low * ABORTED_FIELDS
    return at < fields.length && fields[at + 2]! <= lastOffset ? fields[at]! : null
  }
}

function entriesOf<Key, Value>(byLog: Map<LogId, Map<Key, Value>>, logId: LogId): Map<Key, Value> {
  const known = byLog.get(logId) ?? new Map<Key, Value>()
  byLog.set(logId, known)
  return known
}
