import {
  ErrorCode,
  type ListOffsetsRequest,
  type ListOffsetsResponseInput,
  listOffsets,
} from '@streambus/protocol'
import { type LogState, type LogStore, StorageError } from '@streambus/storage'
import type { BrokerServices, Handler } from '../handler.ts'
import { wireCodeOf } from '../storage-errors.ts'
import { leaderEpochError } from '../topics/leader-epoch.ts'

/**
 * ListOffsets (key 2), versions 0–11. The offset of a timestamp: of the first record at or after it, or one
 * of the special places below. A timestamp past the end is answered with offset -1 and no error. A partition
 * named twice: INVALID_REQUEST. Version 0 answers a list of offsets, here of at most one.
 *
 * Left out: remote storage (KIP-405), so the local log start is the log start and nothing is ever tiered;
 * the timeout of version 10, as nothing here waits.
 */
const LATEST = -1n
const EARLIEST = -2n
const MAX_TIMESTAMP = -3n
const EARLIEST_LOCAL = -4n
const LATEST_TIERED = -5n
const EARLIEST_PENDING_UPLOAD = -6n

/** The first version that knows each special timestamp. */
const KNOWN_SINCE = new Map<bigint, number>([
  [LATEST, 0],
  [EARLIEST, 0],
  [MAX_TIMESTAMP, 7],
  [EARLIEST_LOCAL, 8],
  [LATEST_TIERED, 9],
  [EARLIEST_PENDING_UPLOAD, 11],
])
const READ_COMMITTED = 1
const NO_OFFSET = { offset: -1, timestampMs: -1 }

interface Found {
  readonly offset: number
  readonly timestampMs: number
}

type PartitionResponse = ListOffsetsResponseInput['topics'][number]['partitions'][number]

export function listOffsetsHandler({
  store,
}: BrokerServices): Handler<ListOffsetsRequest, ListOffsetsResponseInput> {
  return {
    api: listOffsets,
    minVersion: 0,
    maxVersion: 11,
    async handle({ isolationLevel, topics }, { version }) {
      const readCommitted = isolationLevel === READ_COMMITTED
      const repeated = repeatedPartitions(topics)
      const answers: ListOffsetsResponseInput['topics'][number][] = []
      for (const { name, partitions } of topics) {
        const topic = store.topics.byName(name)
        const partitionAnswers: PartitionResponse[] = []
        for (const { partitionIndex, currentLeaderEpoch, timestamp } of partitions) {
          const fail = (errorCode: number): void => {
            partitionAnswers.push({ partitionIndex, errorCode })
          }
          if (repeated.has(`${name}:${partitionIndex}`)) {
            fail(ErrorCode.INVALID_REQUEST)
            continue
          }
          const logId = topic?.logs[partitionIndex]
          const [state] = logId === undefined ? [] : await store.state([logId])
          if (state === undefined) {
            fail(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
            continue
          }
          const epochError = leaderEpochError(currentLeaderEpoch, state.leaderEpoch)
          if (epochError !== ErrorCode.NONE) {
            fail(epochError)
            continue
          }
          if (timestamp < 0n && version < (KNOWN_SINCE.get(timestamp) ?? Number.POSITIVE_INFINITY)) {
            fail(ErrorCode.UNSUPPORTED_VERSION)
            continue
          }
          try {
            const found = await find(store, state, timestamp, readCommitted)
            partitionAnswers.push(success(partitionIndex, version, found, state.leaderEpoch))
          } catch (error) {
            if (!(error instanceof StorageError)) throw error
            fail(wireCodeOf(error))
          }
        }
        answers.push({ name, partitions: partitionAnswers })
      }
      return { throttleTimeMs: 0, topics: answers }
    },
  }
}

async function find(
  store: LogStore,
  state: LogState,
  timestamp: bigint,
  readCommitted: boolean,
): Promise<Found> {
  const endOffset = readCommitted ? state.lastStableOffset : state.highWatermark
  switch (timestamp) {
    case LATEST:
      return { offset: endOffset, timestampMs: -1 }
    case EARLIEST:
    case EARLIEST_LOCAL:
      return { offset: state.logStartOffset, timestampMs: -1 }
    case LATEST_TIERED:
    case EARLIEST_PENDING_UPLOAD:
      return NO_OFFSET
    default: {
      const wanted = timestamp === MAX_TIMESTAMP ? 'max' : Number(timestamp)
      const found = await store.offsetForTime(state.logId, wanted)
      return found === null || found.offset >= endOffset ? NO_OFFSET : found
    }
  }
}

function success(
  partitionIndex: number,
  version: number,
  { offset, timestampMs }: Found,
  leaderEpoch: number,
): PartitionResponse {
  const errorCode = ErrorCode.NONE
  if (version === 0) {
    return { partitionIndex, errorCode, oldStyleOffsets: offset < 0 ? [] : [BigInt(offset)] }
  }
  const found = { partitionIndex, errorCode, offset: BigInt(offset), timestamp: BigInt(timestampMs) }
  return version < 4 || offset < 0 ? found : { ...found, leaderEpoch }
}

/** Partitions that the request names more than once. */
function repeatedPartitions(topics: ListOffsetsRequest['topics']): Set<string> {
  const seen = new Set<string>()
  const repeated = new Set<string>()
  for (const { name, partitions } of topics) {
    for (const { partitionIndex } of partitions) {
      const key = `${name}:${partitionIndex}`
      if (seen.has(key)) repeated.add(key)
      seen.add(key)
    }
  }
  return repeated
}
