import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  batchesIn,
  decodeCoordinatorRecord,
  decodeRecords,
  groupRecords,
  loadCodec,
} from '@streambus/protocol'
import { checkDataFolder, LocalLogStore, type LogId } from '@streambus/storage'
import { afterEach, expect, test } from 'vitest'
import { bytesOf } from '../../../packages/storage/src/testing/batches.ts'
import { type PackedFolder, unpack } from './packed-folder.ts'
import type { SampleManifest } from './sample-folder.ts'

const samples = readdirSync(import.meta.dirname, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
const folders: string[] = []

afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true })
})

function read<T>(sample: string, name: string): T {
  return JSON.parse(readFileSync(join(import.meta.dirname, sample, name), 'utf8')) as T
}

async function unpacked(sample: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'streambus-sample-'))
  folders.push(folder)
  await unpack(read<PackedFolder>(sample, 'folder.json'), folder)
  return folder
}

interface Found {
  readonly offset: number
  readonly key: Buffer | null
  readonly value: Buffer | null
}

/** What a reader of committed records finds from `offset` on. */
async function committed(store: LocalLogStore, logId: LogId, start: number): Promise<Found[]> {
  const maxBytes = 64 * 1024 ** 2
  const [result] = await store.read([{ logId, offset: start, maxBytes, readCommitted: true }], { maxBytes })
  if (result?.error !== null) throw result?.error ?? new Error('no result')
  const waiting = [...result.abortedTransactions!].sort((a, b) => a.firstOffset - b.firstOffset)
  const aborted = new Set<number>()
  const found: Found[] = []
  const bytes = await bytesOf(result.records)
  for (const { position, byteLength } of batchesIn(bytes)) {
    const records = decodeRecords(bytes.subarray(position, position + byteLength), { verifyCrc: true })
    const { baseOffset, producerId, isControl, isTransactional } = records
    while (waiting.length > 0 && waiting[0]!.firstOffset <= baseOffset)
      aborted.add(waiting.shift()!.producerId)
    if (isControl) aborted.delete(producerId)
    else if (!isTransactional || !aborted.has(producerId)) {
      const buffer = (content: Uint8Array | null) => (content === null ? null : Buffer.from(content))
      for (const { offset, key, value } of records) {
        found.push({ offset: Number(offset), key: buffer(key), value: buffer(value) })
      }
    }
  }
  return found.filter(({ offset }) => offset >= start)
}

test.each(samples)(
  'the data folder %s is sound, opens, and has every record it was written with',
  async (sample) => {
    await loadCodec('gzip')
    const folder = await unpacked(sample)
    expect(await checkDataFolder(folder)).toMatchObject({ isSound: true, findings: [], notes: [] })
    const manifest = read<SampleManifest>(sample, 'manifest.json')
    const store = await LocalLogStore.open({ dataDir: folder })
    try {
      expect(store.clusterId).toBe(manifest.clusterId)
      const committedOffsets: Record<string, number> = {}
      for (const { topic, partition, startOffset, endOffset, records } of manifest.partitions) {
        const { logs, configs } = store.topics.byName(topic)!
        const [state] = await store.state([logs[partition]!])
        expect(state).toMatchObject({ logStartOffset: startOffset, highWatermark: endOffset })
        const found = await committed(store, logs[partition]!, startOffset)
        if (topic === '__consumer_offsets') {
          for (const { key, value } of found) {
            const record = decodeCoordinatorRecord(groupRecords, key!, value)
            if (record?.kind !== 'OffsetCommit') throw new Error(`no offset commit: ${record?.kind}`)
            const { group, topic, partition } = record.key
            committedOffsets[`${group} ${topic} ${partition}`] = Number(record.value!.offset)
          }
          continue
        }
        const texts = found.map(({ offset, key, value }) => [
          offset,
          key?.toString() ?? null,
          value?.toString() ?? null,
        ])
        const last = new Map(texts.map((record) => [record[1], record]))
        const isCompacted = configs['cleanup.policy'] === 'compact'
        expect(isCompacted ? texts.filter((record) => last.get(record[1]!) === record) : texts).toEqual(
          records,
        )
      }
      expect(committedOffsets).toEqual(manifest.committedOffsets)
    } finally {
      await store.close()
    }
    // What this version goes on with is sound, too.
    expect(await checkDataFolder(folder)).toMatchObject({ isSound: true })
  },
)
