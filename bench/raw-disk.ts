/**
 * What the disk itself does in the same minutes: the yardstick for every durable figure. Runs in the
 * benchmark's own process while nothing else does.
 */

import { constants, type FileHandle, open, rm } from 'node:fs/promises'
import { alignedMemory } from '../packages/storage/src/local/aligned-memory.ts'

export interface RawDisk {
  /** Durable MB/s of 1 MiB writes that extend a file with O_DIRECT and O_DSYNC. Null where O_DIRECT is refused. */
  readonly directMbPerSecond: number | null
  /** MB/s of 1 MiB buffered writes that extend a file, never synced: what a broker that does not sync rests on. */
  readonly bufferedMbPerSecond: number
  /** Microseconds of one durable 4 KiB write over blocks written before. Null where there was no time for one. */
  readonly smallSyncP50Micros: number | null
  readonly smallSyncP99Micros: number | null
}

const PIECE_BYTES = 1024 * 1024
const SMALL_BYTES = 4096
/** Bounds the file that the throughput measurements leave for a moment. */
const MAX_FILE_BYTES = 2 * 1024 ** 3

export async function measureRawDisk(folder: string, secondsEach: number): Promise<RawDisk> {
  const path = `${folder}/raw-disk`
  try {
    const { O_CREAT, O_TRUNC, O_WRONLY, O_DSYNC, O_DIRECT } = constants
    const fresh = O_CREAT | O_TRUNC | O_WRONLY
    const direct = await openOrRefused(path, fresh | O_DIRECT | O_DSYNC)
    const directMbPerSecond = direct === null ? null : await extendFor(direct, secondsEach)
    const small = await overwriteFor(await open(path, O_WRONLY | O_CREAT), secondsEach / 2)
    const bufferedMbPerSecond = await extendFor(await open(path, fresh), secondsEach)
    return {
      directMbPerSecond,
      bufferedMbPerSecond,
      smallSyncP50Micros: small[Math.floor(small.length * 0.5)] ?? null,
      smallSyncP99Micros: small[Math.floor(small.length * 0.99)] ?? null,
    }
  } finally {
    await rm(path, { force: true })
  }
}

async function openOrRefused(path: string, flags: number): Promise<FileHandle | null> {
  try {
    return await open(path, flags, 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') return null
    throw error
  }
}

async function extendFor(file: FileHandle, seconds: number): Promise<number> {
  const piece = alignedMemory(PIECE_BYTES).fill(0xa5)
  try {
    const start = performance.now()
    const deadline = start + seconds * 1000
    let written = 0
    while (performance.now() < deadline && written < MAX_FILE_BYTES) {
      const { bytesWritten } = await file.write(piece, 0, PIECE_BYTES, written)
      written += bytesWritten
    }
    return written / 1000 / (performance.now() - start)
  } finally {
    await file.close()
  }
}

/** Microseconds of each write, in ascending order. */
async function overwriteFor(file: FileHandle, seconds: number): Promise<number[]> {
  const piece = new Uint8Array(SMALL_BYTES).fill(0x5a)
  try {
    const micros: number[] = []
    const deadline = performance.now() + seconds * 1000
    while (performance.now() < deadline) {
      const start = performance.now()
      await file.write(piece, 0, SMALL_BYTES, 0)
      await file.datasync()
      micros.push((performance.now() - start) * 1000)
    }
    return micros.sort((a, b) => a - b)
  } finally {
    await file.close()
  }
}
