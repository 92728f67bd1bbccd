import { batchesIn, batchHeader, decodeRecords, loadCodec } from '@streambus/protocol'
import { isStreamBusError, StreamBusError, sentenceOf } from '../errors.ts'
import { Message, type MessageBatch } from '../message.ts'
import { AbortedTransactions } from './aborted-transactions.ts'
import type { FetchedRecords, Fetcher } from './fetcher.ts'
import type { ReadingRange } from './start-position.ts'

/** A batch as it was read, which may hold no message: control records, aborted ones, compaction, offsets not asked for. */
export interface ReadBatch extends MessageBatch {
  readonly range: ReadingRange
  /** Where to go on once the messages are processed: behind the batch, also where its end holds no message. */
  readonly nextOffset: number
}

/** Turns what a fetcher brought into messages, one record batch at a time. */
export class BatchReader {
  readonly fetcher: Fetcher
  readonly #verifyChecksums: boolean
  #fetched: FetchedBatches | undefined

  constructor(fetcher: Fetcher, verifyChecksums: boolean) {
    this.fetcher = fetcher
    this.#verifyChecksums = verifyChecksums
  }

  /** The next batch with at most so many messages; undefined where the fetcher gives nothing. */
  async next(maxMessages: number): Promise<ReadBatch | undefined> {
    for (;;) {
      if (this.#fetched === undefined) {
        const records = await this.fetcher.next()
        if (records === undefined) return undefined
        this.#fetched = new FetchedBatches(records, this.#verifyChecksums)
      }
      const batch = this.#fetched.next(maxMessages)
      if (batch !== undefined) return await batch
      this.#fetched = undefined
    }
  }

  /** Drops what is left of the records of a partition. */
  drop(topic: string, partition: number): void {
    const records = this.#fetched?.records
    if (records?.topic === topic && records.partition === partition) this.#fetched = undefined
  }
}

/** The batches of one answer for one partition, one after the other. */
export class FetchedBatches {
  readonly records: FetchedRecords
  readonly #verifyChecksums: boolean
  readonly #batches: Iterator<{ position: number; byteLength: number }>
  readonly #aborted: AbortedTransactions
  #readTo: number

  constructor(records: FetchedRecords, verifyChecksums: boolean) {
    this.records = records
    this.#verifyChecksums = verifyChecksums
    this.#batches = batchesIn(records.bytes)
    this.#aborted = new AbortedTransactions(records.aborted)
    this.#readTo = records.from
  }

  /** Where reading goes on behind the batch that was taken last. */
  get readTo(): number {
    return this.#readTo
  }

  /** The next batch with at most so many messages; undefined after the last one. */
  next(maxMessages: number): Promise<ReadBatch> | undefined {
    const next = this.#batches.next()
    if (next.done) return undefined
    const { position, byteLength } = next.value
    const { bytes, end } = this.records
    const lastOffset = batchHeader.baseOffset(bytes, position) + batchHeader.lastOffsetDelta(bytes, position)
    this.#readTo = Math.min(lastOffset + 1, end)
    return this.#read(position, byteLength, maxMessages, this.#readTo)
  }

  async #read(
    position: number,
    byteLength: number,
    maxMessages: number,
    behindBatch: number,
  ): Promise<ReadBatch> {
    const { range, topic, partition, bytes, highWatermark } = this.records
    try {
      let messages: Message[] = []
      if (!this.#aborted.hides(bytes, position) && !batchHeader.isControl(bytes, position)) {
        const codec = batchHeader.codec(bytes, position)
        if (codec !== 0) await loadCodec(codec)
        messages = this.#decode(position, byteLength, maxMessages)
      }
      const last = messages.length === maxMessages ? messages.at(-1) : undefined
      const nextOffset = last === undefined ? behindBatch : last.offset + 1
      return { range, topic, partition, messages, highWatermark, nextOffset }
    } catch (error) {
      if (isStreamBusError(error)) throw error
      const firstOffset = batchHeader.baseOffset(bytes, position)
      throw new StreamBusError(
        'CORRUPT_DATA',
        `The batch at offset ${firstOffset} of ${topic}/${partition} cannot be read: ${sentenceOf(error)}.`,
        { cause: error },
      )
    }
  }

  #decode(position: number, length: number, maxMessages: number): Message[] {
    const { topic, partition, bytes, from, end } = this.records
    const messages: Message[] = []
    const records = decodeRecords(bytes.subarray(position, position + length), {
      verifyCrc: this.#verifyChecksums,
    })
    for (const record of records) {
      const offset = Number(record.offset)
      if (offset < from) continue
      if (offset >= end || messages.length >= maxMessages) break
      messages.push(new Message(topic, partition, offset, record))
    }
    return messages
  }
}
