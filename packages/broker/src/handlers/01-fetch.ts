import { ErrorCode, type FetchRequest, type FetchResponseInput, fetch, ZERO_UUID } from '@streambus/protocol'
import type { LogId, LogStore, ReadRequest, ReadResult } from '@streambus/storage'
import { FETCH_MAX_BYTES, FETCH_MAX_WAIT_MS } from '../fetch/fetch-limits.ts'
import type { WantedPartition } from '../fetch/fetch-sessions.ts'
import { containsZstd } from '../fetch/zstd-scan.ts'
import type { BrokerServices, Handler, RequestContext } from '../handler.ts'
import { wireCodeOf } from '../storage-errors.ts'
import { leaderEpochError } from '../topics/leader-epoch.ts'

/**
 * Fetch (key 1), versions 4–17. From version 7 in incremental sessions, from version 13 topics by id.
 *
 * Answered at once when the client does not wait, when there is nothing to wait for, when minBytes are there,
 * or when a partition has an error. Otherwise it waits until a high watermark moves, and looks again; a reader
 * of committed records until a last stable offset moves, and it is told which transactions were aborted.
 * Partitions are served in the order of the request (of the session, where there is one); the first that has
 * records returns at least one whole batch. Records are planned here and loaded while they are sent.
 *
 * Left out: reading from followers and by followers (there is one broker, and a replica id or a last fetched
 * epoch changes nothing), preferred replicas and racks.
 */
const READ_COMMITTED = 1
const TOPIC_IDS_SINCE = 13
const ZSTD_SINCE = 10
const NO_RECORDS = new Uint8Array(0)

type TopicResponse = FetchResponseInput['responses'][number]
type PartitionResponse = TopicResponse['partitions'][number]

/** A wanted partition with the log it was found to be, or why it cannot be read. */
type Target =
  | { readonly wanted: WantedPartition; readonly logId: LogId; readonly errorCode: typeof ErrorCode.NONE }
  | { readonly wanted: WantedPartition; readonly logId: undefined; readonly errorCode: number }

export function fetchHandler(services: BrokerServices): Handler<FetchRequest, FetchResponseInput> {
  const { store, fetchSessions } = services
  return {
    api: fetch,
    minVersion: 4,
    maxVersion: 17,
    async handle(request, context) {
      const usesTopicIds = context.version >= TOPIC_IDS_SINCE
      const opened = fetchSessions.open(request, usesTopicIds)
      if ('errorCode' in opened) return { errorCode: opened.errorCode, sessionId: 0, responses: [] }

      const targets = await findTargets(store, opened.partitions, usesTopicIds)
      const readable = targets.filter((target) => target.logId !== undefined)
      const results = await readWhenReady(store, request, context, readable, readable.length < targets.length)
      const withZstd =
        context.version < ZSTD_SINCE ? await scanForZstd(store, request, readable, results) : undefined

      const responses: { topic: string; topicId: string; partitions: PartitionResponse[] }[] = []
      for (const target of targets) {
        const { wanted } = target
        let answer: PartitionResponse
        if (target.logId === undefined) {
          answer = failure(wanted.partition, target.errorCode)
        } else if (withZstd?.has(target)) {
          answer = failure(wanted.partition, ErrorCode.UNSUPPORTED_COMPRESSION_TYPE)
        } else {
          answer = answerOf(wanted.partition, results.get(target)!)
        }
        const news = {
          errorCode: answer.errorCode,
          recordBytes: answer.records!.byteLength,
          highWatermark: Number(answer.highWatermark),
          logStartOffset: Number(answer.logStartOffset),
        }
        if (!opened.includes(wanted, news)) continue
        let group = responses.at(-1)
        if (group === undefined || (usesTopicIds ? group.topicId : group.topic) !== wanted.topic) {
          group = usesTopicIds
            ? { topic: '', topicId: wanted.topic, partitions: [] }
            : { topic: wanted.topic, topicId: ZERO_UUID, partitions: [] }
          responses.push(group)
        }
        group.partitions.push(answer)
      }
      return { errorCode: ErrorCode.NONE, sessionId: opened.sessionId, responses }
    },
  }
}

async function findTargets(
  store: LogStore,
  wantedPartitions: readonly WantedPartition[],
  usesTopicIds: boolean,
): Promise<Target[]> {
  const targets: Target[] = []
  const epochsToCheck: LogId[] = []
  for (const wanted of wantedPartitions) {
    const topic = usesTopicIds ? store.topics.byId(wanted.topic) : store.topics.byName(wanted.topic)
    const logId = topic?.logs[wanted.partition]
    if (logId !== undefined) {
      targets.push({ wanted, logId, errorCode: ErrorCode.NONE })
      if (wanted.currentLeaderEpoch >= 0) epochsToCheck.push(logId)
      continue
    }
    const errorCode =
      topic === undefined && usesTopicIds ? ErrorCode.UNKNOWN_TOPIC_ID : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    targets.push({ wanted, logId: undefined, errorCode })
  }
  if (epochsToCheck.length === 0) return targets
  const epochs = new Map<LogId, number>()
  for (const { logId, leaderEpoch } of await store.state(epochsToCheck)) epochs.set(logId, leaderEpoch)
  return targets.map((target) => {
    const current = target.logId === undefined ? undefined : epochs.get(target.logId)
    if (current === undefined) return target
    const errorCode = leaderEpochError(target.wanted.currentLeaderEpoch, current)
    return errorCode === ErrorCode.NONE ? target : { wanted: target.wanted, logId: undefined, errorCode }
  })
}

/** Reads, and waits and reads again until the answer is due. */
async function readWhenReady(
  store: LogStore,
  request: FetchRequest,
  { requester }: RequestContext,
  targets: readonly Target[],
  hasError: boolean,
): Promise<Map<Target, ReadResult>> {
  const readCommitted = request.isolationLevel === READ_COMMITTED
  const maxBytes = Math.min(request.maxBytes, FETCH_MAX_BYTES)
  // More than may be answered can never be there.
  const minBytes = Math.min(request.minBytes, maxBytes)
  const requests = targets.map(({ wanted, logId }): ReadRequest => {
    const { fetchOffset: offset, maxBytes } = wanted
    return { logId: logId!, offset, maxBytes, readCommitted }
  })
  const waitMs = Math.min(request.maxWaitMs, FETCH_MAX_WAIT_MS)
  let deadlineMs: number | undefined
  for (;;) {
    const results = requests.length === 0 ? [] : await store.read(requests, { maxBytes })
    let bytes = 0
    let failed = hasError
    for (const result of results) {
      if (result.error === null) bytes += result.records.byteLength
      else failed = true
    }
    const nowMs = performance.now()
    deadlineMs ??= nowMs + waitMs
    if (failed || requests.length === 0 || bytes >= minBytes || nowMs >= deadlineMs) {
      return byTarget(targets, results)
    }
    const signal = requester.startWaiting()
    if (signal === undefined || signal.aborted) return byTarget(targets, results)
    const ends = new Map<LogId, number>()
    for (const [at, result] of results.entries()) {
      if (result.error !== null) continue
      ends.set(targets[at]!.logId!, readCommitted ? result.lastStableOffset : result.highWatermark)
      result.records.close()
    }
    const moved = await store.waitForAppend(ends, { maxWaitMs: deadlineMs - nowMs, signal, readCommitted })
    // Time is up, or the broker is closing: what is there now is the answer.
    if (moved.length === 0) deadlineMs = nowMs
  }
}

function byTarget(targets: readonly Target[], results: readonly ReadResult[]): Map<Target, ReadResult> {
  return new Map(targets.map((target, at) => [target, results[at]!]))
}

/**
 * The targets whose records the client could not decompress (KIP-110). The scan uses up the records it looks
 * at, so those of the others are planned again, the same bytes.
 */
async function scanForZstd(
  store: LogStore,
  request: FetchRequest,
  targets: readonly Target[],
  results: Map<Target, ReadResult>,
): Promise<Set<Target>> {
  const withZstd = new Set<Target>()
  for (const target of targets) {
    const result = results.get(target)!
    if (result.error !== null || result.records.byteLength === 0) continue
    const { byteLength } = result.records
    if (await containsZstd(result.records)) {
      withZstd.add(target)
      continue
    }
    const again: ReadRequest = {
      logId: target.logId!,
      offset: target.wanted.fetchOffset,
      maxBytes: byteLength,
      readCommitted: request.isolationLevel === READ_COMMITTED,
    }
    const [reread] = await store.read([again], { maxBytes: byteLength })
    results.set(target, reread!)
  }
  return withZstd
}

function answerOf(partition: number, result: ReadResult): PartitionResponse {
  if (result.error !== null) return failure(partition, wireCodeOf(result.error))
  const { records, abortedTransactions } = result
  if (records.byteLength === 0) records.close()
  return {
    partitionIndex: partition,
    errorCode: ErrorCode.NONE,
    highWatermark: BigInt(result.highWatermark),
    lastStableOffset: BigInt(result.lastStableOffset),
    logStartOffset: BigInt(result.logStartOffset),
    abortedTransactions:
      abortedTransactions?.map(({ producerId, firstOffset }) => ({
        producerId: BigInt(producerId),
        firstOffset: BigInt(firstOffset),
      })) ?? null,
    records: records.byteLength === 0 ? NO_RECORDS : records,
  }
}

function failure(partitionIndex: number, errorCode: number): PartitionResponse {
  return {
    partitionIndex,
    errorCode,
    highWatermark: -1n,
    lastStableOffset: -1n,
    logStartOffset: -1n,
    abortedTransactions: null,
    records: NO_RECORDS,
  }
}
