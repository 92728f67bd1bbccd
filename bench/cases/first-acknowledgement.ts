/** From the start of a process to its first acknowledged record, seen from outside. */
import { setTimeout as delay } from 'node:timers/promises'
import { createTopics, ErrorCode, errorByCode, produce } from '@streambus/protocol'
import { randomBatch } from '../wire/payload.ts'
import { ConnectionLostError, RawConnection } from '../wire/raw-connection.ts'

const RETRY_MS = 2
const TIMEOUT_MS = 120_000

/**
 * Starts a server and, from the same moment on, tries again and again to connect, to make `topic` (unless it
 * exists) and to write one record to its first partition. Returns milliseconds until that was acknowledged.
 */
export async function timeToFirstAcknowledgement(
  start: () => Promise<void>,
  port: number,
  topic: string,
): Promise<number> {
  const startedMs = performance.now()
  const [acknowledgedMs] = await Promise.all([acknowledge(port, topic, startedMs), start()])
  return acknowledgedMs - startedMs
}

async function acknowledge(port: number, topic: string, startedMs: number): Promise<number> {
  let reason = 'nothing accepts connections'
  while (performance.now() - startedMs < TIMEOUT_MS) {
    try {
      const connection = await RawConnection.open(port)
      try {
        const refused = (await ensureTopic(connection, topic)) ?? (await writeRecord(connection, topic))
        if (refused === undefined) return performance.now()
        reason = refused
      } finally {
        connection.close()
      }
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      // Not listening yet, or ended while it was starting.
      if (!(error instanceof ConnectionLostError) && code !== 'ECONNREFUSED' && code !== 'ECONNRESET')
        throw error
      reason = (error as Error).message
    }
    await delay(RETRY_MS)
  }
  throw new Error(`no record was acknowledged in ${TIMEOUT_MS} ms: ${reason}`)
}

async function ensureTopic(connection: RawConnection, name: string): Promise<string | undefined> {
  const { topics } = await connection.request(createTopics, 7, {
    topics: [{ name, numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }],
    timeoutMs: TIMEOUT_MS,
    validateOnly: false,
  })
  const code = topics[0]?.errorCode
  return code === ErrorCode.TOPIC_ALREADY_EXISTS ? undefined : refusal(code)
}

async function writeRecord(connection: RawConnection, name: string): Promise<string | undefined> {
  const { bytes } = randomBatch(1100, 1024)
  const { responses } = await connection.request(produce, 11, {
    transactionalId: null,
    acks: -1,
    timeoutMs: TIMEOUT_MS,
    topicData: [{ name, partitionData: [{ index: 0, records: bytes }] }],
  })
  return refusal(responses[0]?.partitionResponses[0]?.errorCode)
}

function refusal(code: number | undefined): string | undefined {
  if (code === 0) return undefined
  return code === undefined ? 'an empty answer' : (errorByCode(code)?.name ?? String(code))
}
