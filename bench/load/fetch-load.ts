/**
 * Reads partitions as fast as they come, one connection each, into memory that is used again: nothing is
 * decoded but the answer's header, so that the broker is what is measured.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

import { encodeRequest, errorByCode, fetch } from '@streambus/protocol'
import { RawConnection } from '../wire/raw-connection.ts'
import { endOffsets } from '../wire/topics.ts'
import type { FetchJob, FetchReport, Phases } from './jobs.ts'
import { LatencyRecorder } from './latency-recorder.ts'
import { wait } from './wait.ts'

const FETCH_VERSION = 12
const READ_BUFFER_BYTES = 256 * 1024
/** Stands where the offset goes in a request, to be found and replaced. */
const OFFSET_MARK = 0x7a7b_7c7d_7e7f_7071n

export async function runFetchLoad(job: FetchJob, phases: Phases): Promise<FetchReport> {
  const admin = await RawConnection.open(job.port)
  const ends = await endOffsets(admin, job.topic, job.partitions)
  admin.close()
  const latency = new LatencyRecorder()
  const readers = await Promise.all(
    ends.map((end, partition) => PartitionReader.open(job, partition, end, latency)),
  )
  try {
    const finished = Promise.all(readers.map((reader) => reader.run()))
    await Promise.race([wait(job.warmupMs), finished])
    const begin = {
      bytes: sum(readers, 'bytes'),
      requests: sum(readers, 'requests'),
      atMs: performance.now(),
    }
    latency.reset()
    phases.measuring()
    await Promise.race([wait(job.measureMs), finished])
    const report = {
      bytes: sum(readers, 'bytes') - begin.bytes,
      requests: sum(readers, 'requests') - begin.requests,
      seconds: (performance.now() - begin.atMs) / 1000,
      latency: latency.summary(),
    }
    phases.measured()
    return report
  } finally {
    for (const reader of readers) reader.close()
  }
}

function sum(readers: readonly PartitionReader[], of: 'bytes' | 'requests'): number {
  return readers.reduce((total, reader) => total + reader[of], 0)
}

class PartitionReader {
  bytes = 0
  requests = 0
  readonly #job: FetchJob
  readonly #socket: Socket
  readonly #end: number
  readonly #latency: LatencyRecorder
  readonly #request: Buffer
  readonly #offsetPosition: number
  readonly #answer: AnswerHeader
  #offset = 0
  #sentAtMs = 0
  /** Bytes of the answer now arriving that have not come yet; 0 between answers. */
  #awaitedBytes = 0
  #settle: { resolve: () => void; reject: (error: Error) => void } | undefined
  #closed = false

  private constructor(
    job: FetchJob,
    partition: number,
    end: number,
    latency: LatencyRecorder,
    socket: Socket,
  ) {
    this.#job = job
    this.#socket = socket
    this.#end = end
    this.#latency = latency
    this.#request = fetchRequest(job, partition)
    const mark = Buffer.alloc(8)
    mark.writeBigInt64BE(OFFSET_MARK)
    this.#offsetPosition = this.#request.indexOf(mark)
    this.#answer = new AnswerHeader(job.topic)
  }

  static async open(
    job: FetchJob,
    partition: number,
    end: number,
    latency: LatencyRecorder,
  ): Promise<PartitionReader> {
    let reader: PartitionReader | undefined
    const socket = connect({
      host: '127.0.0.1',
      port: job.port,
      onread: {
        buffer: Buffer.allocUnsafeSlow(READ_BUFFER_BYTES),
        callback(bytes, buffer) {
          reader?.receive(buffer as Buffer, bytes)
          return true
        },
      },
    })
    await once(socket, 'connect')
    socket.setNoDelay(true)
    reader = new PartitionReader(job, partition, end, latency, socket)
    return reader
  }

  /** Resolves when everything was read once; with `repeat` it goes on until closed. */
  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
      this.#socket.on('error', reject)
      this.#socket.on('close', () => {
        if (!this.#closed) reject(new Error('the server closed a connection'))
      })
      this.#send()
    })
  }

  close(): void {
    this.#closed = true
    this.#socket.destroy()
    this.#settle?.resolve()
  }

  #send(): void {
    this.#request.writeBigInt64BE(BigInt(this.#offset), this.#offsetPosition)
    this.#sentAtMs = performance.now()
    this.#socket.write(this.#request)
  }

  receive(buffer: Buffer, bytes: number): void {
    try {
      let position = 0
      while (position < bytes) {
        if (this.#awaitedBytes === 0) {
          position += this.#answer.take(buffer, position, bytes)
          if (!this.#answer.complete) return
          this.#awaitedBytes = this.#answer.remainingBytes
          this.#check()
        }
        const taken = Math.min(bytes - position, this.#awaitedBytes)
        position += taken
        this.#awaitedBytes -= taken
        if (this.#awaitedBytes === 0) this.#answered()
      }
    } catch (error) {
      this.#settle?.reject(error as Error)
      this.close()
    }
  }

  #check(): void {
    const { errorCode, recordBytes, firstOffset } = this.#answer
    if (errorCode !== 0) throw new Error(`fetch: ${errorByCode(errorCode)?.name ?? errorCode}`)
    if (recordBytes < this.#job.batchBytes) throw new Error(`offset ${this.#offset} brought no whole batch`)
    if (firstOffset !== this.#offset) {
      throw new Error(`asked for offset ${this.#offset}, got ${firstOffset}`)
    }
  }

  #answered(): void {
    const { batchBytes, recordsPerBatch, repeat } = this.#job
    const batches = Math.floor(this.#answer.recordBytes / batchBytes)
    this.#latency.add(performance.now() - this.#sentAtMs)
    this.bytes += batches * batchBytes
    this.requests++
    this.#offset += batches * recordsPerBatch
    this.#answer.reset()
    if (this.#offset >= this.#end) {
      if (!repeat) {
        this.#settle?.resolve()
        return
      }
      this.#offset = 0
    }
    this.#send()
  }
}

/**
 * Takes the beginning of an answer up to its first batch's offset, however the bytes arrive. Layout of version
 * 12 for one topic and one partition: length i32, correlation id i32, tags; throttle i32, error i16, session
 * i32; topic count, name; partition count, index i32, error i16, high watermark i64, last stable offset i64,
 * log start i64, aborted transactions (none: one byte), preferred replica i32, records' length, records.
 */
class AnswerHeader {
  complete = false
  errorCode = 0
  recordBytes = 0
  firstOffset = 0
  /** Bytes of the answer after what was taken. */
  remainingBytes = 0
  readonly #scratch = Buffer.alloc(512)
  readonly #fixedBytes: number
  #held = 0

  constructor(topic: string) {
    const nameBytes = Buffer.byteLength(topic)
    if (nameBytes > 126) throw new Error('the topic name is too long for a one-byte length')
    this.#fixedBytes = 4 + 4 + 1 + 4 + 2 + 4 + 1 + 1 + nameBytes + 1 + 4 + 2 + 8 + 8 + 8 + 1 + 4
  }

  reset(): void {
    this.complete = false
    this.#held = 0
  }

  /** Returns how many bytes it took. */
  take(buffer: Buffer, position: number, end: number): number {
    // The records' length has up to five bytes and the offset eight; an answer with records is always longer.
    const wanted = this.#fixedBytes + 5 + 8
    const taken = Math.min(wanted - this.#held, end - position)
    buffer.copy(this.#scratch, this.#held, position, position + taken)
    this.#held += taken
    if (this.#held < wanted && !this.#isWholeAnswer()) return taken
    this.#parse()
    return taken
  }

  /** An answer without records may be shorter than what is otherwise waited for. */
  #isWholeAnswer(): boolean {
    return this.#held >= 4 && this.#held === 4 + this.#scratch.readInt32BE(0)
  }

  #parse(): void {
    const bytes = this.#scratch
    const partitionError = this.#fixedBytes - 4 - 1 - 8 * 3 - 2
    this.errorCode = bytes.readInt16BE(13) || bytes.readInt16BE(partitionError)
    let lengthPlusOne = 0
    let position = this.#fixedBytes
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[position++]!
      lengthPlusOne |= (byte & 0x7f) << shift
      if (byte < 0x80) break
    }
    this.recordBytes = Math.max(0, lengthPlusOne - 1)
    this.firstOffset = this.recordBytes > 0 ? Number(bytes.readBigInt64BE(position)) : -1
    this.remainingBytes = 4 + bytes.readInt32BE(0) - this.#held
    this.complete = true
  }
}

function fetchRequest(job: FetchJob, partition: number): Buffer {
  const maxBytes = Math.max(1, Math.floor(job.bytesPerRequest / job.batchBytes)) * job.batchBytes
  const parts = encodeRequest(
    fetch,
    FETCH_VERSION,
    { correlationId: partition, clientId: 'load' },
    {
      replicaId: -1,
      maxWaitMs: 500,
      minBytes: 1,
      maxBytes,
      isolationLevel: 0,
      sessionId: 0,
      sessionEpoch: -1,
      topics: [
        {
          topic: job.topic,
          partitions: [
            {
              partition,
              currentLeaderEpoch: -1,
              fetchOffset: OFFSET_MARK,
              lastFetchedEpoch: -1,
              logStartOffset: -1n,
              partitionMaxBytes: maxBytes,
            },
          ],
        },
      ],
      forgottenTopicsData: [],
      rackId: '',
    },
  )
  return Buffer.concat(parts as Uint8Array[])
}
