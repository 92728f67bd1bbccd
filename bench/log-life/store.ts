/** A store on this disk for a measurement, and what is put into it. */
import { rm } from 'node:fs/promises'
import { encodeRecordBatch } from '@streambus/protocol'
import {
  KEEP_EVERYTHING,
  type KeepingPolicy,
  LocalLogStore,
  type LocalLogStoreOptions,
  type LogId,
} from '@streambus/storage'
import { cacheDir } from '../../peers/workspace.ts'

export const MB = 1e6
const MAX_OUTSTANDING = 16

/** Everything stays, and is worth rewriting. */
export const lasting = (): KeepingPolicy => KEEP_EVERYTHING

export const compacting = (): KeepingPolicy => ({
  ...lasting(),
  segmentMs: 0,
  compaction: {
    minDirtyRatio: 0.01,
    minLagMs: 0,
    maxLagMs: Number.POSITIVE_INFINITY,
    deleteRetentionMs: 86_400_000,
  },
})

export class MeasuredStore {
  readonly dataDir: string
  readonly #options: Partial<LocalLogStoreOptions>
  store!: LocalLogStore

  constructor(name: string, options: Partial<LocalLogStoreOptions> = {}) {
    this.dataDir = `${cacheDir}/bench/log-life-${name}-${process.pid}`
    this.#options = options
  }

  async open(): Promise<LocalLogStore> {
    this.store = await LocalLogStore.open({ dataDir: this.dataDir, ...this.#options })
    return this.store
  }

  /** Everything read from now on comes from the disk. */
  async reopen(): Promise<LocalLogStore> {
    await this.store.close()
    return await this.open()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.close()
    await rm(this.dataDir, { recursive: true, force: true })
  }
}

/** Appends batches to the logs in turn, some at once, until the bytes are there. Returns the bytes. */
export async function fill(
  store: LocalLogStore,
  logs: readonly LogId[],
  batchAt: (number: number) => Uint8Array,
  bytes: number,
): Promise<number> {
  const outstanding = new Set<Promise<unknown>>()
  let sent = 0
  for (let number = 0; sent < bytes; number++) {
    const batch = batchAt(number)
    sent += batch.byteLength
    const append = store.append([{ logId: logs[number % logs.length]!, bytes: batch }]).then(([result]) => {
      outstanding.delete(append)
      if (result!.error !== null) throw result!.error
    })
    outstanding.add(append)
    if (outstanding.size >= MAX_OUTSTANDING) await Promise.race(outstanding)
  }
  await Promise.all(outstanding)
  return sent
}

/** Batches of keyed records, the same few again and again: what is in them costs no time while it is measured. */
export function keyedBatches(options: {
  readonly keys: number
  readonly valueBytes: number
  readonly recordsPerBatch: number
  readonly batches: number
}): (number: number) => Uint8Array {
  const value = Buffer.alloc(options.valueBytes, 'v')
  let key = 0
  const made = Array.from({ length: options.batches }, () =>
    encodeRecordBatch(
      Array.from({ length: options.recordsPerBatch }, () => ({
        key: `key-${(key++ * 7_919) % options.keys}`,
        value,
        timestamp: 1_700_000_000_000,
      })),
      {},
    ),
  )
  return (number) => made[number % made.length]!
}

/** Works until there is nothing to do. Returns the bytes read, looked at and written. */
export async function maintainAll(store: LocalLogStore, policyOf: () => KeepingPolicy): Promise<number> {
  for (let bytes = 0; ; ) {
    const step = await store.maintain({ maxBytes: 16 * MB }, policyOf)
    bytes += step.bytes
    if (!step.isMore) return bytes
  }
}
