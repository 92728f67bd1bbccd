import { batchHeader } from '@streambus/protocol'
import {
  type AppendBatch,
  type LogId,
  type LogState,
  type Offset,
  StorageError,
  type TopicId,
} from './log-store.ts'
import { lastSequenceOf, type ProducerEntry, ProducerTable } from './producer-table.ts'

const NO_PRODUCER_ID = -1

/** What `admit` decided about a batch. */
export type Admission =
  | {
      readonly kind: 'accepted'
      readonly baseOffset: Offset
      /** Set for idempotent producers: what `withdraw` puts back. */
      readonly producerId: number
      readonly previousProducer: ProducerEntry | undefined
    }
  | { readonly kind: 'duplicate'; readonly baseOffset: Offset }
  | { readonly kind: 'refused'; readonly error: StorageError }

/**
 * The head of one log: where it starts and ends, who may append, and which offset comes next.
 *
 * `nextOffset` runs ahead of `highWatermark`: a batch gets its offset when it is admitted, and becomes
 * visible when it is durable. When a write fails, everything admitted but not durable is withdrawn in reverse
 * order, so that the offsets are given again and none is skipped.
 */
export class LogHead {
  readonly id: LogId
  readonly topicId: TopicId
  startOffset: Offset = 0
  /** Offset of the next batch to be admitted. */
  nextOffset: Offset = 0
  /** End of what is durable. */
  highWatermark: Offset = 0
  sizeBytes = 0
  ownerEpoch = 0
  readonly leaderEpoch = 0
  deleted = false
  readonly producers = new ProducerTable()

  constructor(id: LogId, topicId: TopicId) {
    this.id = id
    this.topicId = topicId
  }

  /** Judges a batch and, when it is accepted, gives it the next offsets. */
  admit(batch: AppendBatch, nowMs: number): Admission {
    const { bytes } = batch
    if (batch.ownerEpoch !== undefined && batch.ownerEpoch < this.ownerEpoch) {
      return {
        kind: 'refused',
        error: new StorageError(
          'FENCED_OWNER',
          `log ${this.id} was taken over: owner epoch ${batch.ownerEpoch} is older than ${this.ownerEpoch}`,
        ),
      }
    }
    const lastOffsetDelta = batchHeader.lastOffsetDelta(bytes, 0)
    const producerId = batchHeader.producerId(bytes, 0)
    const baseOffset = this.nextOffset
    let previousProducer: ProducerEntry | undefined
    if (producerId !== NO_PRODUCER_ID) {
      const epoch = batchHeader.producerEpoch(bytes, 0)
      const firstSequence = batchHeader.baseSequence(bytes, 0)
      const lastSequence = lastSequenceOf(firstSequence, lastOffsetDelta)
      const verdict = this.producers.judge(producerId, epoch, firstSequence, lastSequence)
      switch (verdict.kind) {
        case 'duplicate':
          return { kind: 'duplicate', baseOffset: verdict.baseOffset }
        case 'stale-epoch':
          return {
            kind: 'refused',
            error: new StorageError(
              'INVALID_PRODUCER_EPOCH',
              `producer ${producerId} wrote with epoch ${epoch}, but epoch ${verdict.currentEpoch} has written since`,
            ),
          }
        case 'out-of-order':
          return {
            kind: 'refused',
            error: new StorageError(
              'OUT_OF_ORDER_SEQUENCE',
              `producer ${producerId} sent sequence ${firstSequence} where ${verdict.expectedSequence} comes next`,
            ),
          }
        case 'accept':
          previousProducer = this.producers.record(
            producerId,
            epoch,
            { firstSequence, lastSequence, baseOffset, lastOffset: baseOffset + lastOffsetDelta },
            nowMs,
          )
      }
    }
    this.nextOffset = baseOffset + lastOffsetDelta + 1
    return { kind: 'accepted', baseOffset, producerId, previousProducer }
  }

  /** Takes back the latest admission that is not durable. Callers withdraw in reverse order. */
  withdraw(baseOffset: Offset, producerId: number, previousProducer: ProducerEntry | undefined): void {
    this.nextOffset = baseOffset
    if (producerId !== NO_PRODUCER_ID) this.producers.restore(producerId, previousProducer)
  }

  /** Replays a batch that is durable already: the same changes as `admit` and `commit`, without judging. */
  replay(bytes: Uint8Array, position: number, baseOffset: Offset, byteLength: number, nowMs: number): void {
    const lastOffset = baseOffset + batchHeader.lastOffsetDelta(bytes, position)
    const producerId = batchHeader.producerId(bytes, position)
    if (producerId !== NO_PRODUCER_ID) {
      const firstSequence = batchHeader.baseSequence(bytes, position)
      this.producers.record(
        producerId,
        batchHeader.producerEpoch(bytes, position),
        {
          firstSequence,
          lastSequence: lastSequenceOf(firstSequence, lastOffset - baseOffset),
          baseOffset,
          lastOffset,
        },
        nowMs,
      )
    }
    this.nextOffset = lastOffset + 1
    this.commit(this.nextOffset, byteLength)
  }

  /** Everything below `endOffset` is durable and may be seen. */
  commit(endOffset: Offset, byteLength: number): void {
    this.highWatermark = endOffset
    this.sizeBytes += byteLength
  }

  state(): LogState {
    return {
      logId: this.id,
      logStartOffset: this.startOffset,
      highWatermark: this.highWatermark,
      lastStableOffset: this.highWatermark,
      leaderEpoch: this.leaderEpoch,
      sizeBytes: this.sizeBytes,
    }
  }
}
