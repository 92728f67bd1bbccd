/** Produce requests with acks=all, one partition and one batch each. */
import { encodeRequest, errorByCode, produce } from '@streambus/protocol'
import { randomBatch } from '../wire/payload.ts'
import type { ProduceJob } from './jobs.ts'
import type { ConnectionTraffic, WireTraffic } from './wire-traffic.ts'

const PRODUCE_VERSION = 11
const TIMEOUT_MS = 30_000

export function kafkaTraffic(job: ProduceJob): WireTraffic {
  const { bytes: batch } = randomBatch(job.batchBytes, job.recordBytes)
  const requests = Array.from({ length: job.partitions }, (_, partition) =>
    produceRequest(job.topic, partition, batch),
  )
  const errorPosition = errorCodePosition(job.topic)
  return {
    connection(index) {
      // Partitions are dealt out to connections; with more connections than partitions several share one.
      const own = requests.filter((_, partition) => partition % job.connections === index)
      return {
        greeting: null,
        greetingAnswers: 0,
        requests: own.length > 0 ? own : [requests[index % requests.length]!],
        receive: answerCounter('produce', errorPosition),
      } satisfies ConnectionTraffic
    },
  }
}

export function produceRequest(topic: string, partition: number, batch: Uint8Array): Uint8Array {
  const parts = encodeRequest(
    produce,
    PRODUCE_VERSION,
    { correlationId: partition, clientId: 'load' },
    {
      transactionalId: null,
      acks: -1,
      timeoutMs: TIMEOUT_MS,
      topicData: [{ name: topic, partitionData: [{ index: partition, records: batch }] }],
    },
  )
  return Buffer.concat(parts as Uint8Array[])
}

/**
 * Where the error code lies in an answer (version 9 to 12) for one partition: after length (4), correlation id
 * (4), header tags (1), topic count (1), topic name, partition count (1) and partition index (4). The name is
 * preceded by its length, one byte below 127.
 */
export function errorCodePosition(topic: string): number {
  const nameBytes = Buffer.byteLength(topic)
  if (nameBytes > 126) throw new Error('the topic name is too long for a one-byte length')
  return 4 + 4 + 1 + 1 + 1 + nameBytes + 1 + 4
}

/** Counts length-prefixed answers and checks the error code of each; `doing` begins what it throws. */
export function answerCounter(doing: string, errorPosition: number): (chunk: Uint8Array) => number {
  let carry: Buffer | null = null
  return (chunk) => {
    const bytes: Buffer =
      carry === null
        ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
        : Buffer.concat([carry, chunk])
    let position = 0
    let answers = 0
    while (bytes.byteLength - position >= 4) {
      const frameBytes = 4 + bytes.readInt32BE(position)
      if (bytes.byteLength - position < frameBytes) break
      const errorCode = bytes.readInt16BE(position + errorPosition)
      if (errorCode !== 0) throw new Error(`${doing}: ${errorByCode(errorCode)?.name ?? errorCode}`)
      position += frameBytes
      answers++
    }
    // The chunk's memory is used again for the next read, so what is left over is copied out of it.
    carry = position === bytes.byteLength ? null : Buffer.from(bytes.subarray(position))
    return answers
  }
}
