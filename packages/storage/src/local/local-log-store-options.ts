import { resolve } from 'node:path'
import { newKafkaId } from '../kafka-id.ts'
import type { Preparation } from './file-supply.ts'
import type { FileSystem } from './file-system.ts'
import { nodeFileSystem } from './node-file-system.ts'

export interface StoreLog {
  info(facts: Record<string, unknown>, message: string): void
  warn(facts: Record<string, unknown>, message: string): void
  error(facts: Record<string, unknown>, message: string): void
}

export interface LocalLogStoreOptions {
  /** Folder for everything the store keeps; made when missing. */
  dataDir: string
  /** `fsync`: acknowledged is on disk. `os`: acknowledged is with the operating system. Default `fsync`. */
  durability?: 'fsync' | 'os'
  /** Memory for groups on their way to disk and for the newest records. Default 64 MiB. */
  cacheBytes?: number
  /** Size at which a log file is full. Default 256 MiB. */
  fileBytes?: number
  /** Memory for loaded index parts of full files. Default 16 MiB. */
  indexCacheBytes?: number
  /** When the next file is written with zeros beforehand. Default `small-groups`. */
  prepareFiles?: Preparation
  /** What to do when acknowledged records are found damaged at start. Default `refuse`. */
  onDamage?: 'refuse' | 'truncate'
  log?: StoreLog
  /** Milliseconds since the epoch. Default Date.now. */
  clock?: () => number
  /** Makes cluster and topic ids: 16 bytes as 22 characters of base64url. Default: random ones. */
  newId?: () => string
  fileSystem?: FileSystem
}

const MIB = 1024 ** 2
const silent: StoreLog = { info() {}, warn() {}, error() {} }

export function withDefaults(given: LocalLogStoreOptions): Required<LocalLogStoreOptions> {
  return {
    durability: 'fsync',
    cacheBytes: 64 * MIB,
    fileBytes: 256 * MIB,
    indexCacheBytes: 16 * MIB,
    prepareFiles: 'small-groups',
    onDamage: 'refuse',
    log: silent,
    clock: Date.now,
    newId: newKafkaId,
    fileSystem: nodeFileSystem,
    ...given,
    dataDir: resolve(given.dataDir),
  }
}
