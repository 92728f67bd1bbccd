/**
 * `npm run bench:compaction [seconds]`: how fast one core compacts, without the disk: filling the map of keys from
 * a log's batches, then making of each batch what is left of it. Megabytes are 10^6 bytes of batches as they lie
 * in the log; for compressed ones the bytes of their records are told as well. Seconds are those of the process on
 * all cores, its garbage collection included, so that others on the machine count less. Each figure is the median
 * of the runs of about the given seconds for each shape (default 2), at least five.
 */
import { randomBytes } from 'node:crypto'
import { type CompressionName, encodeRecordBatch, loadCodec } from '@streambus/protocol'
import { compactBatch } from '../packages/storage/src/compaction/compact-batch.ts'
import { fillKeyOffsets } from '../packages/storage/src/compaction/fill-key-offsets.ts'
import { KeyOffsets } from '../packages/storage/src/compaction/key-offsets.ts'
import { SeededRandom } from '../packages/storage/src/testing/seeded-random.ts'

interface Shape {
  readonly recordBytes: number
  readonly batchBytes: number
  readonly codec: CompressionName
}

interface Run {
  readonly fillSeconds: number
  readonly compactSeconds: number
}

interface Log {
  readonly shape: Shape
  readonly batches: readonly Uint8Array[]
  readonly batchBytes: number
  readonly recordBytes: number
  readonly endOffset: number
  readonly keys: number
}

const LOG_BYTES = 48e6
const MAP_BYTES = 64 * 1024 ** 2
const UPDATES_PER_KEY = 4
const NOW_MS = 1_700_000_000_000
const KIB = 1024

const shapes: readonly Shape[] = [
  ...[100, 300, 1024].flatMap((recordBytes) =>
    [16 * KIB, 128 * KIB, 1024 * KIB].map(
      (batchBytes): Shape => ({ recordBytes, batchBytes, codec: 'none' }),
    ),
  ),
  ...(['lz4', 'zstd', 'gzip', 'snappy'] as const).flatMap((codec) =>
    [100, 1024].map((recordBytes): Shape => ({ recordBytes, batchBytes: 128 * KIB, codec })),
  ),
]

/** Text as it is in events: words that repeat and numbers that do not, so that it compresses about threefold. */
function eventText(random: SeededRandom, length: number): string {
  let text = ''
  while (text.length < length) {
    text += `{"amount":${random.below(1e6)},"city":"${random.pick(['Berlin', 'Lisbon', 'Oslo', 'Turin'])}",`
    text += `"trace":"${random.below(2 ** 31).toString(36)}${random.below(2 ** 31).toString(36)}"}`
  }
  return text.slice(0, length)
}

function logOf(shape: Shape): Log {
  const random = new SeededRandom(7)
  const recordsPerBatch = Math.max(1, Math.floor(shape.batchBytes / shape.recordBytes))
  const recordCount = Math.floor(LOG_BYTES / shape.recordBytes)
  const keys = Math.ceil(recordCount / UPDATES_PER_KEY)
  const batches: Uint8Array[] = []
  let recordBytes = 0
  let baseOffset = 0
  // Length, attributes, timestamp, offset, key and value lengths, headers: some 10 bytes, and a key of 16.
  const valueBytes = shape.recordBytes - 26
  while (baseOffset < recordCount) {
    const records = Array.from({ length: recordsPerBatch }, (_, index) => ({
      key: `account-${String(random.below(keys)).padStart(8, '0')}`,
      value: eventText(random, valueBytes),
      timestamp: NOW_MS + baseOffset + index,
    }))
    batches.push(encodeRecordBatch(records, { baseOffset, compression: shape.codec }))
    recordBytes += shape.codec === 'none' ? batches.at(-1)!.length : encodeRecordBatch(records).length
    baseOffset += recordsPerBatch
  }
  const batchBytes = batches.reduce((sum, batch) => sum + batch.length, 0)
  return { shape, batches, batchBytes, recordBytes, endOffset: baseOffset, keys }
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

function compactOnce({ batches, endOffset }: Log, map: KeyOffsets): Run & { readonly leftBytes: number } {
  map.clear()
  const started = cpuSeconds()
  for (const batch of batches) fillKeyOffsets(map, batch, 'plain')
  const filled = cpuSeconds()
  const pass = { map, knownUpTo: endOffset, startOffset: 0, nowMs: NOW_MS, deleteRetentionMs: 0 }
  let leftBytes = 0
  for (const batch of batches) leftBytes += compactBatch(batch, 'plain', pass)?.length ?? 0
  const ended = cpuSeconds()
  return { fillSeconds: filled - started, compactSeconds: ended - filled, leftBytes }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1]!
}

function row(log: Log, runs: readonly Run[], leftBytes: number): Record<string, string | number> {
  const { shape, batchBytes, recordBytes } = log
  const fillSeconds = median(runs.map((run) => run.fillSeconds))
  const compactSeconds = median(runs.map((run) => run.compactSeconds))
  const bothSeconds = median(runs.map((run) => run.fillSeconds + run.compactSeconds))
  const rate = (bytes: number, seconds: number) => Math.round(bytes / seconds / 1e6)
  return {
    codec: shape.codec,
    record: shape.recordBytes,
    'batch KiB': shape.batchBytes / KIB,
    'left %': Math.round((leftBytes / batchBytes) * 100),
    'fill MB/s': rate(batchBytes, fillSeconds),
    'compact MB/s': rate(batchBytes, compactSeconds),
    'both MB/s': rate(batchBytes, bothSeconds),
    'of records MB/s': rate(recordBytes, bothSeconds),
    'ns/record': Math.round((bothSeconds / log.endOffset) * 1e9),
    runs: runs.length,
  }
}

const seconds = Number(process.argv[2] ?? 2)
const map = new KeyOffsets(MAP_BYTES, randomBytes(16))
const rows: Record<string, string | number>[] = []
let peakBytes = 0
for (const shape of shapes) {
  await loadCodec(shape.codec)
  const log = logOf(shape)
  compactOnce(log, map)
  const heldBytes = log.batchBytes
  const runs: Run[] = []
  let leftBytes = 0
  for (const started = performance.now(); performance.now() - started < seconds * 1000 || runs.length < 5; ) {
    const run = compactOnce(log, map)
    leftBytes = run.leftBytes
    runs.push(run)
    const { arrayBuffers } = process.memoryUsage()
    peakBytes = Math.max(peakBytes, arrayBuffers - heldBytes)
  }
  rows.push(row(log, runs, leftBytes))
}
console.table(rows)
console.log(`map ${MAP_BYTES / 1024 ** 2} MiB for ${map.maxKeys.toLocaleString('en')} keys`)
console.log(`buffers beside the log, most at the end of a run: ${Math.round(peakBytes / 1e6)} MB`)
