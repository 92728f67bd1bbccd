/**
 * A small data folder with everything a data folder can have: committed and aborted transactions, offsets that groups
 * have committed, a topic that was deleted, a start that was moved, a full log file with its index, a merged and a
 * compacted segment, and a clean close. The clock and the ids are fixed, so that the same version writes the same.
 */
import {
  controlRecord,
  encodeCoordinatorKey,
  encodeCoordinatorValue,
  encodeRecordBatch,
  loadCodec,
  offsetCommitRecord,
  type RecordInput,
} from '@streambus/protocol'
import { type KeepingPolicy, LocalLogStore, type LogId, type Topic } from '@streambus/storage'

export interface SamplePartition {
  readonly topic: string
  readonly partition: number
  readonly startOffset: number
  readonly endOffset: number
  /**
   * Offset, key and value of every record that a reader of committed records finds; of a compacted topic, of the last
   * one of each key. None for `__consumer_offsets`: `committedOffsets` has what its records say.
   */
  readonly records: [number, string | null, string | null][]
}

export interface SampleManifest {
  readonly clusterId: string
  /** Committed offset by `group topic partition`. */
  readonly committedOffsets: Record<string, number>
  readonly partitions: SamplePartition[]
}

const START_MS = Date.UTC(2026, 10, 28)
const keepForEver: KeepingPolicy = {
  compaction: null,
  segmentBytes: 64 * 1024,
  segmentMs: Number.POSITIVE_INFINITY,
  retentionMs: Number.POSITIVE_INFINITY,
  retentionBytes: Number.POSITIVE_INFINITY,
}
const compact: KeepingPolicy = {
  ...keepForEver,
  compaction: { minDirtyRatio: 0, minLagMs: 0, maxLagMs: Number.POSITIVE_INFINITY, deleteRetentionMs: 1e12 },
}

export async function writeSample(dataDir: string): Promise<SampleManifest> {
  let ids = 0
  let nowMs = START_MS
  const store = await LocalLogStore.open({
    dataDir,
    cacheBytes: 512 * 1024,
    fileBytes: 64 * 1024,
    prepareFiles: 'never',
    clock: () => nowMs++,
    newId: () => Buffer.from(`streambus-id-${String(++ids).padStart(3, '0')}`).toString('base64url'),
  })
  await loadCodec('gzip')
  const orders = await store.createTopic({ name: 'orders', partitions: 3 })
  const payments = await store.createTopic({ name: 'payments', partitions: 2 })
  const table = await store.createTopic({
    name: 'table',
    partitions: 1,
    configs: { 'cleanup.policy': 'compact' },
  })
  const offsets = await store.createTopic({ name: '__consumer_offsets', partitions: 50 })
  const gone = await store.createTopic({ name: 'gone', partitions: 1 })

  const sent = new Map<LogId, SamplePartition['records']>()
  const append = async (
    logId: LogId,
    records: readonly RecordInput[],
    options: NonNullable<Parameters<typeof encodeRecordBatch>[1]> = {},
    counts = true,
  ) => {
    const [result] = await store.append([{ logId, bytes: encodeRecordBatch(records, options) }])
    if (result?.error !== null) throw result?.error ?? new Error('no result')
    const found = sent.get(logId) ?? []
    sent.set(logId, found)
    if (!counts) return
    for (const [index, { key, value }] of records.entries()) {
      found.push([result.baseOffset + index, (key as string) ?? null, (value as string) ?? null])
    }
  }
  const filler = (label: string, length: number) => `${label} `.padEnd(length, 'abcdefghijklmnopqrstuvwxyz')

  const round = async (number: number) => {
    const timestamp = nowMs
    for (const [partition, logId] of orders.logs.entries()) {
      const records = [0, 1, 2].map((index) => ({
        key: `customer-${(number + index) % 7}`,
        value: filler(`order ${partition}-${number}-${index}`, 300),
        headers: [{ key: 'source', value: 'shop' }],
        timestamp,
      }))
      await append(logId, records, partition === 1 ? { compression: 'gzip' } : {})
    }
    const producer = { producerId: 7, producerEpoch: 0 }
    const aborted = number % 3 === 1
    for (const [partition, logId] of payments.logs.entries()) {
      const records = [{ key: `p${number}`, value: filler(`payment ${partition}-${number}`, 400), timestamp }]
      await append(logId, records, { ...producer, baseSequence: number, transactional: true }, !aborted)
      const marker = controlRecord({ type: aborted ? 'abort' : 'commit', coordinatorEpoch: 1, timestamp })
      await append(logId, [marker], { ...producer, transactional: true, control: true }, false)
    }
    const row = { key: `row-${number % 10}`, value: number % 9 === 8 ? null : filler(`row ${number}`, 500) }
    await append(table.logs[0]!, [{ ...row, timestamp }])
    if (number < 5) await append(gone.logs[0]!, [{ value: filler('gone', 200), timestamp }])
  }
  const rounds = async (from: number, to: number) => {
    for (let number = from; number < to; number++) await round(number)
  }

  await rounds(0, 24)
  await store.deleteTopic(gone.id)
  const committedOffsets: Record<string, number> = {}
  for (const [partition, offset] of [12, 20, 31].entries()) {
    const key = { group: 'billing', topic: 'orders', partition }
    const value = { offset: BigInt(offset), leaderEpoch: 0, metadata: '', commitTimestamp: BigInt(nowMs) }
    const record = {
      key: encodeCoordinatorKey(offsetCommitRecord, key),
      value: encodeCoordinatorValue(offsetCommitRecord, 3, value),
      timestamp: nowMs,
    }
    await append(offsets.logs[groupPartition('billing')]!, [record], {}, false)
    committedOffsets[`billing orders ${partition}`] = offset
  }
  const policyOf = (topic: Topic) => (topic.name === 'table' ? compact : keepForEver)
  while ((await store.maintain({ maxBytes: Number.POSITIVE_INFINITY }, policyOf)).isMore);
  await rounds(24, 40)
  await store.advanceStart(orders.logs[2]!, 30)
  await store.maintain({ maxBytes: Number.POSITIVE_INFINITY })

  const partitions: SamplePartition[] = []
  for (const topic of [orders, payments, table, offsets]) {
    for (const [partition, logId] of topic.logs.entries()) {
      const [state] = await store.state([logId])
      const { logStartOffset: startOffset, highWatermark: endOffset } = state!
      const all = (sent.get(logId) ?? []).filter(([offset]) => offset >= startOffset)
      const last = new Map(all.map((record) => [record[1], record]))
      const records = topic === table ? all.filter((record) => last.get(record[1]) === record) : all
      if (endOffset > 0) partitions.push({ topic: topic.name, partition, startOffset, endOffset, records })
    }
  }
  await store.close()
  return { clusterId: store.clusterId, committedOffsets, partitions }
}

/** `abs(hash) mod 50`, with Java's hash of strings. */
function groupPartition(group: string): number {
  let hash = 0
  for (const character of group) hash = (Math.imul(hash, 31) + character.charCodeAt(0)) | 0
  return Math.abs(hash) % 50
}
