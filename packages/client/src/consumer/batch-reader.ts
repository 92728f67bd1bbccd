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
  #records:
    | {
        fetched: FetchedRecords
        batches: Iterator<{ position: number; byteLength: number }>
        aborted: AbortedTransactions
      }
    | undefined

  constructor(fetcher: Fetcher, verifyChecksums: boolean) {
    this.fetcher = fetcher
    this.#verifyChecksums = verifyChecksums
  }

  /** The next batch with at most so many messages; undefined where the fetcher gives nothing. */
  async next(maxMessages: number): Promise<ReadBatch | undefined> {
    for (;;) {
      if (this.#records === undefined) {
        const fetched = await this.fetcher.next()
        if (fetched === undefined) return undefined
        const aborted = new AbortedTransactions(fetched.aborted)
        this.#records = { fetched, batches: batchesIn(fetched.bytes), aborted }
      }
      const { fetched, batches, aborted } = this.#records
      const next = batches.next()
      if (!next.done) return await this.#read(fetched, next.value, aborted, maxMessages)
      this.#records = undefined
    }
  }

  /** Drops what is left of the records of a partition. */
  drop(topic: string, partition: number): void {
    const fetched = this.#records?.fetched
    if (fetched?.topic === topic && fetched.partition === partition) this.#records = undefined
  }

  async #read(
    fetched: FetchedRecords,
    { position, byteLength }: { position: number; byteLength: number },
    aborted: AbortedTransactions,
    maxMessages: number,
  ): Promise<ReadBatch> {
    const { range, topic, partition, bytes, end, highWatermark } = fetched
    const firstOffset = batchHeader.baseOffset(bytes, position)
    try {
      let messages: Message[] = []
      if (!aborted.hides(bytes, position) && !batchHeader.isControl(bytes, position)) {
        const codec = batchHeader.codec(bytes, position)
        if (codec !== 0) await loadCodec(codec)
        messages = this.#decode(fetched, position, byteLength, maxMessages)
      }
      const last = messages.length === maxMessages ? messages.at(-1) : undefined
      const nextOffset =
        last === undefined ? firstOffset + batchHeader.lastOffsetDelta(bytes, position) : last.offset
      return { range, topic, partition, messages, highWatermark, nextOffset: Math.min(nextOffset + 1, end) }
    } catch (error) {
      if (isStreamBusError(error)) throw error
      throw new StreamBusError(
        'CORRUPT_DATA',
        `The batch at offset ${firstOffset} of ${topic}/${partition} cannot be read: ${sentenceOf(error)}.`,
        { cause: error },
      )
    }
  }

  #decode(
    { topic, partition, bytes, from, end }: FetchedRecords,
    position: number,
    length: number,
    maxMessages: number,
  ): Message[] {
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
