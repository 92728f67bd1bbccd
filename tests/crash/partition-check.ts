/**
 * Compares what a partition holds with what was promised: every acknowledged record at its offset with its
 * content, no record twice, each writer's records in order and without a hole, offsets 0, 1, 2, …, and every
 * batch as its CRC says.
 */
import { batchCrc, batchHeader, decodeRecords } from '@streambus/protocol'
import { identify } from './content.ts'
import type { PartitionHistory } from './model.ts'

export interface PartitionVerdict {
  readonly records: number
  readonly bytes: number
  readonly faults: readonly string[]
}

/** What is wrong after this many faults is wrong everywhere. */
const MAX_FAULTS = 10

export async function checkPartition(
  history: PartitionHistory,
  content: AsyncIterable<readonly Uint8Array[]>,
): Promise<PartitionVerdict> {
  const check = new PartitionCheck(history)
  for await (const batches of content) {
    for (const batch of batches) check.take(batch)
    if (check.faults.length >= MAX_FAULTS) break
  }
  check.finish()
  return check
}

class PartitionCheck implements PartitionVerdict {
  records = 0
  bytes = 0
  readonly faults: string[] = []
  readonly #history: PartitionHistory
  /** The serial each writer's next record must have. */
  readonly #nextSerial = new Map<number, number>()
  #nextOffset = 0

  constructor(history: PartitionHistory) {
    this.#history = history
  }

  take(batch: Uint8Array): void {
    const baseOffset = batchHeader.baseOffset(batch, 0)
    this.bytes += batch.byteLength
    if (batchHeader.crc(batch, 0) !== batchCrc(batch, 0, batch.byteLength)) {
      this.#fault(`the batch at offset ${baseOffset} does not match its CRC`)
    }
    if (baseOffset !== this.#nextOffset) {
      this.#fault(`offset ${this.#nextOffset} was due and ${baseOffset} came`)
      this.#nextOffset = baseOffset
    }
    for (const { offset, value } of decodeRecords(batch, { verifyCrc: false })) {
      this.#takeRecord(Number(offset), value)
    }
    this.#nextOffset = baseOffset + batchHeader.lastOffsetDelta(batch, 0) + 1
  }

  finish(): void {
    for (const { writer, acknowledgedAt } of this.#history.writers.values()) {
      const there = this.#nextSerial.get(writer) ?? 0
      if (there < acknowledgedAt.length) {
        this.#fault(
          `writer ${writer}: ${acknowledgedAt.length} records were acknowledged and ${there} are there`,
        )
      }
    }
    if (this.#nextOffset < this.#history.seenEndOffset) {
      this.#fault(
        `a consumer could read up to ${this.#history.seenEndOffset}, now it ends at ${this.#nextOffset}`,
      )
    }
  }

  #takeRecord(offset: number, value: Uint8Array | null): void {
    this.records++
    const identity = identify(value)
    const history = identity === null ? undefined : this.#history.writers.get(identity.writer)
    if (identity === null || history === undefined) {
      this.#fault(`the record at offset ${offset} is not what was written there`)
      return
    }
    const { writer, serial } = identity
    const due = this.#nextSerial.get(writer) ?? 0
    if (serial < due) this.#fault(`record ${serial} of writer ${writer} is there twice, again at ${offset}`)
    if (serial > due)
      this.#fault(`records ${due} to ${serial - 1} of writer ${writer} are missing before ${offset}`)
    if (serial >= history.sent) this.#fault(`record ${serial} of writer ${writer} was never sent`)
    this.#nextSerial.set(writer, Math.max(due, serial + 1))
    const acknowledgedAt = history.acknowledgedAt[serial]
    if (acknowledgedAt !== undefined && acknowledgedAt !== offset) {
      this.#fault(
        `record ${serial} of writer ${writer} was acknowledged at ${acknowledgedAt} and lies at ${offset}`,
      )
    }
  }

  #fault(text: string): void {
    if (this.faults.length < MAX_FAULTS) this.faults.push(`partition ${this.#history.partition}: ${text}`)
  }
}
