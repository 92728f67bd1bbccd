/**
 * An idempotent producer of one partition, in the open: it keeps several batches in flight, and after a broken
 * connection sends every batch that was not acknowledged again, in order, with the sequences it had.
 */
import { encodeRecordBatch, errorByCode, initProducerId, produce } from '@streambus/protocol'
import { ConnectionLostError, type RawConnection } from '../../bench/wire/raw-connection.ts'
import { retried } from '../../bench/wire/retried.ts'
import { isLarge, recordValue } from './content.ts'
import type { Model, WriterHistory } from './model.ts'
import type { Random } from './random.ts'

const PRODUCE_VERSION = 11
const INIT_PRODUCER_ID_VERSION = 4
const REQUEST_TIMEOUT_MS = 30_000
/** A broker remembers five batches of a producer (KIP-98), so no more may be unacknowledged. */
const MAX_IN_FLIGHT = 5
const MAX_RECORDS_PER_BATCH = 12

interface UnacknowledgedBatch {
  readonly firstSerial: number
  readonly records: number
  readonly bytes: Uint8Array
}

export class Writer {
  /** Batches sent again because the connection broke before their acknowledgement. */
  resent = 0
  readonly #model: Model
  readonly #history: WriterHistory
  readonly #random: Random
  readonly #onFailure: (error: Error) => void
  readonly #unacknowledged: UnacknowledgedBatch[] = []
  #producerId = -1n
  #producerEpoch = -1
  #connection: RawConnection | undefined

  constructor(model: Model, history: WriterHistory, random: Random, onFailure: (error: Error) => void) {
    this.#model = model
    this.#history = history
    this.#random = random
    this.#onFailure = onFailure
  }

  /** Goes on over a new connection, beginning with what was not acknowledged over the last one. */
  async attach(connection: RawConnection): Promise<void> {
    if (this.#producerId === -1n) {
      const answer = await retried(
        'InitProducerId',
        () =>
          connection.request(initProducerId, INIT_PRODUCER_ID_VERSION, {
            transactionalId: null,
            transactionTimeoutMs: REQUEST_TIMEOUT_MS,
            producerId: -1n,
            producerEpoch: -1,
          }),
        ({ errorCode }) => errorCode,
      )
      this.#model.addProducerId(answer.producerId)
      this.#producerId = answer.producerId
      this.#producerEpoch = answer.producerEpoch
    }
    this.#connection = connection
    for (const batch of this.#unacknowledged) {
      this.resent++
      this.#send(batch)
    }
  }

  /** Sends one more batch unless too many are in flight or there is no connection; returns its bytes or 0. */
  writeOne(): number {
    if (this.#connection === undefined || this.#unacknowledged.length >= MAX_IN_FLIGHT) return 0
    const batch = this.#nextBatch()
    this.#unacknowledged.push(batch)
    this.#history.sent += batch.records
    this.#send(batch)
    return batch.bytes.byteLength
  }

  get idle(): boolean {
    return this.#unacknowledged.length === 0
  }

  #nextBatch(): UnacknowledgedBatch {
    const { writer, sent: firstSerial } = this.#history
    const wanted = this.#random.between(1, MAX_RECORDS_PER_BATCH)
    const values: Uint8Array[] = []
    do {
      const identity = { writer, serial: firstSerial + values.length }
      if (isLarge(identity) && values.length > 0) break
      values.push(recordValue(identity))
      if (isLarge(identity)) break
    } while (values.length < wanted)
    const timestamp = BigInt(Date.now())
    const bytes = encodeRecordBatch(
      values.map((value) => ({ timestamp, key: null, value, headers: [] })),
      {
        producerId: this.#producerId,
        producerEpoch: this.#producerEpoch,
        baseSequence: firstSerial,
      },
    )
    return { firstSerial, records: values.length, bytes }
  }

  #send(batch: UnacknowledgedBatch): void {
    const connection = this.#connection!
    connection
      .request(produce, PRODUCE_VERSION, {
        transactionalId: null,
        acks: -1,
        timeoutMs: REQUEST_TIMEOUT_MS,
        topicData: [
          {
            name: this.#model.topic,
            partitionData: [{ index: this.#history.partition, records: batch.bytes }],
          },
        ],
      })
      .then((answer) => {
        const partition = answer.responses[0]?.partitionResponses[0]
        if (partition === undefined) throw new Error('an answer without the partition')
        this.#acknowledged(batch, partition.errorCode, Number(partition.baseOffset))
      })
      .catch((error: Error) => {
        // The broker died: what was under way is sent again over the next connection.
        if (!(error instanceof ConnectionLostError)) this.#onFailure(error)
        if (this.#connection === connection) this.#connection = undefined
      })
  }

  #acknowledged(batch: UnacknowledgedBatch, errorCode: number, baseOffset: number): void {
    const { writer, partition, acknowledgedAt } = this.#history
    const of = `records ${batch.firstSerial}… of writer ${writer} to partition ${partition}`
    if (errorCode !== 0) throw new Error(`${of} were refused: ${errorByCode(errorCode)?.name ?? errorCode}`)
    if (this.#unacknowledged[0] !== batch) throw new Error(`${of} were acknowledged out of order`)
    this.#unacknowledged.shift()
    for (let index = 0; index < batch.records; index++) acknowledgedAt.push(baseOffset + index)
  }
}
