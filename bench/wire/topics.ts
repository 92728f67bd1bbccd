/** Topics made, removed and asked about over a bare connection, the same way on every Kafka broker. */
import { createTopics, deleteTopics, errorByCode, listOffsets } from '@streambus/protocol'
import type { RawConnection } from './raw-connection.ts'

/** The broker answered with an error code. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError'
  readonly code = 'REFUSED'
}

const TIMEOUT_MS = 120_000
const CREATE_VERSION = 7
const DELETE_VERSION = 6
const LIST_OFFSETS_VERSION = 7
const LATEST = -1n
const EARLIEST = -2n

/** Makes one topic with `partitions` partitions and returns its id. */
export async function createTopic(
  connection: RawConnection,
  name: string,
  partitions: number,
  configs: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { topics } = await connection.request(createTopics, CREATE_VERSION, {
    topics: [
      {
        name,
        numPartitions: partitions,
        replicationFactor: 1,
        assignments: [],
        configs: Object.entries(configs).map(([name, value]) => ({ name, value })),
      },
    ],
    timeoutMs: TIMEOUT_MS,
    validateOnly: false,
  })
  const [topic] = topics
  assertNoError(topic?.errorCode, `creating ${name}`)
  return topic!.topicId
}

export async function deleteTopic(connection: RawConnection, name: string): Promise<void> {
  const { responses } = await connection.request(deleteTopics, DELETE_VERSION, {
    topics: [{ name, topicId: 'AAAAAAAAAAAAAAAAAAAAAA' }],
    timeoutMs: TIMEOUT_MS,
  })
  assertNoError(responses[0]?.errorCode, `deleting ${name}`)
}

/** What a consumer may see: everything, or what no open transaction holds back. */
export type Isolation = 'uncommitted' | 'committed'

export const isolationLevels: Readonly<Record<Isolation, number>> = { uncommitted: 0, committed: 1 }

/** The offset after the last record that consumers may see, by partition. */
export function endOffsets(
  connection: RawConnection,
  topic: string,
  partitions: number,
  isolation: Isolation = 'uncommitted',
): Promise<number[]> {
  return offsetsAt(LATEST, connection, topic, partitions, isolation)
}

/** The offset of the first record that is still there, by partition. */
export function startOffsets(
  connection: RawConnection,
  topic: string,
  partitions: number,
): Promise<number[]> {
  return offsetsAt(EARLIEST, connection, topic, partitions, 'uncommitted')
}

async function offsetsAt(
  timestamp: bigint,
  connection: RawConnection,
  topic: string,
  partitions: number,
  isolation: Isolation,
): Promise<number[]> {
  const { topics } = await connection.request(listOffsets, LIST_OFFSETS_VERSION, {
    replicaId: -1,
    isolationLevel: isolationLevels[isolation],
    topics: [
      {
        name: topic,
        partitions: Array.from({ length: partitions }, (_, partitionIndex) => ({
          partitionIndex,
          currentLeaderEpoch: -1,
          timestamp,
        })),
      },
    ],
  })
  const offsets = new Array<number>(partitions).fill(0)
  for (const partition of topics[0]?.partitions ?? []) {
    assertNoError(partition.errorCode, `asking for an offset of ${topic}-${partition.partitionIndex}`)
    offsets[partition.partitionIndex] = Number(partition.offset)
  }
  return offsets
}

export function assertNoError(code: number | undefined, doing: string): void {
  if (code === 0) return
  throw new RefusedError(
    `${doing}: ${code === undefined ? 'no answer for it' : (errorByCode(code)?.name ?? code)}`,
  )
}
