import { batchCrc, batchEndOffset, batchesIn, batchHeader } from '@streambus/protocol'

/** The offsets of one partition as a reader gets them: 0, 1, 2, …, none left out and none twice. */
export class OffsetSequence {
  /** The offset that is due. */
  next = 0
  readonly #partition: string

  constructor(partition: string) {
    this.#partition = partition
  }

  /**
   * Takes the whole batches of an answer, of which retention may have taken some but compaction nothing. Returns their
   * bytes; throws where an offset is missing or comes again, and where a batch does not match its CRC.
   */
  take(records: Uint8Array): number {
    let bytes = 0
    for (const { position, byteLength } of batchesIn(records)) {
      const baseOffset = batchHeader.baseOffset(records, position)
      this.#assertNext(baseOffset)
      if (batchHeader.crc(records, position) !== batchCrc(records, position, byteLength)) {
        throw new Error(`${this.#partition}: the batch at offset ${baseOffset} does not match its CRC`)
      }
      const endOffset = batchEndOffset(records, position)
      const recordCount = batchHeader.recordCount(records, position)
      if (endOffset - baseOffset !== recordCount) {
        throw new Error(
          `${this.#partition}: the batch of offsets ${baseOffset}–${endOffset - 1} has ${recordCount} records`,
        )
      }
      this.next = endOffset
      bytes += byteLength
    }
    return bytes
  }

  takeRecord(offset: number): void {
    this.#assertNext(offset)
    this.next = offset + 1
  }

  #assertNext(offset: number): void {
    if (offset === this.next) return
    const what = offset > this.next ? 'a gap' : 'a repeat'
    throw new Error(`${this.#partition}: ${what}, offset ${this.next} was due and ${offset} came`)
  }
}
