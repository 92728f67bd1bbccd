/** What is to be seen of the broker from outside. */
import { existsSync, readdirSync } from 'node:fs'
import { lstat, readdir, readFile } from 'node:fs/promises'
import { describeLogDirs } from '@streambus/protocol'
import { cpuSeconds, disturbanceBetween, type MachineSnapshot, residentBytes, snapshot } from '../machine.ts'
import type { RawConnection } from '../wire/raw-connection.ts'
import { assertNoError, type endOffsets, type startOffsets } from '../wire/topics.ts'
import type { SoakTopic } from './soak-load.ts'

/** False elsewhere than on Linux: memory, CPU time and handles of another process are then absent. */
export const hasProc = existsSync('/proc/self/stat')

const BLOCK_BYTES = 512
const DESCRIBE_LOG_DIRS_VERSION = 4

export interface ProcessFigures {
  readonly residentBytes: number | null
  readonly handles: number | null
  readonly brokerCores: number | null
  readonly otherCores: number | null
}

/** Looks at a process, and at what it had of the machine since the look before. */
export class ProcessWatch {
  readonly #pid: number
  #before: MachineSnapshot | null = hasProc ? snapshot() : null

  constructor(pid: number) {
    this.#pid = pid
  }

  take(): ProcessFigures {
    if (this.#before === null) {
      return { residentBytes: null, handles: null, brokerCores: null, otherCores: null }
    }
    const before = this.#before
    const after = snapshot()
    this.#before = after
    const seconds = (after.atMs - before.atMs) / 1000
    return {
      residentBytes: residentBytes(this.#pid),
      handles: readdirSync(`/proc/${this.#pid}/fd`).length,
      brokerCores: cpuSeconds(this.#pid, before, after) / seconds,
      otherCores: disturbanceBetween(before, after).otherCores,
    }
  }
}

/** Files in a folder and those below it, and what they take of the disk, while they come and go. */
export async function folderSize(folder: string): Promise<{ files: number; diskBytes: number }> {
  let files = 0
  let diskBytes = 0
  for (const name of await readdir(folder, { recursive: true })) {
    const stats = await lstat(`${folder}/${name}`).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null
      throw error
    })
    if (stats === null || !stats.isFile()) continue
    files++
    diskBytes += stats.blocks * BLOCK_BYTES
  }
  return { files, diskBytes }
}

/** What `report-memory.mjs` said last; null before it has said anything. */
export async function memoryUsage(file: string): Promise<NodeJS.MemoryUsage | null> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as NodeJS.MemoryUsage
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** Offsets of all partitions of some topics together: where they begin, or where they end. */
export async function offsetsOf(
  at: typeof startOffsets | typeof endOffsets,
  connection: RawConnection,
  topics: readonly SoakTopic[],
): Promise<number> {
  let sum = 0
  for (const { name, partitions } of topics) {
    for (const offset of await at(connection, name, partitions)) sum += offset
  }
  return sum
}

/** Bytes of all partitions of a topic, as the broker counts them. */
export async function topicBytes(
  connection: RawConnection,
  { name, partitions }: SoakTopic,
): Promise<number> {
  const { results } = await connection.request(describeLogDirs, DESCRIBE_LOG_DIRS_VERSION, {
    topics: [{ topic: name, partitions: Array.from({ length: partitions }, (_, index) => index) }],
  })
  const [folder] = results
  assertNoError(folder?.errorCode, `asking for the size of ${name}`)
  const sizes = folder!.topics.flatMap((topic) => topic.partitions.map(({ partitionSize }) => partitionSize))
  return sizes.reduce((sum, size) => sum + Number(size), 0)
}
