import { dirname } from 'node:path'
import { replaceFile } from '../local/file-replacement.ts'
import {
  DIRECT_ALIGNMENT_BYTES,
  type FileSystem,
  type FolderLock,
  type OpenOptions,
  type StorageFile,
} from '../local/file-system.ts'
import { readWhole, type Transfer, writeWhole } from '../local/whole-transfers.ts'
import type { SeededRandom } from './seeded-random.ts'
import { BLOCK_BYTES, SimulatedInode, type Survival } from './simulated-inode.ts'

/**
 * A filesystem in memory that fails the way disks do, reproducibly from a seed.
 *
 * - Operations under way at the same time end in a seeded order, at most one per turn of the event loop, which
 *   is the unit of its time; a slow one takes hundreds of turns, while others come and go.
 * - Reads and writes may do a part of what they were asked for, as the system's may.
 * - At a crash, what was written but not synced, and what was still being written, survives in an arbitrary
 *   subset of its sectors of 512 bytes or 4 KiB. So do sizes of files, and names (created, renamed, removed)
 *   that were not synced with their folder.
 * - Room may run out (ENOSPC or EDQUOT, after a part was written) and come back.
 * - A chosen operation of any kind fails, with EIO or another code. A failed write leaves anything behind. What a
 *   failed sync could not write is forgotten: the next sync succeeds, and it is lost all the same, as with
 *   Linux.
 * - What is at rest may change by a bit.
 *
 * A crash leaves every operation under way pending for ever, as the death of the process would.
 */
const NO_ROOM_LIMIT = Number.POSITIVE_INFINITY
const MAX_SLOW_TURNS = 300
const MAX_FLIP_ATTEMPTS = 20

export interface DiskOptions {
  /** What the disk writes wholly or not at all. */
  readonly sectorBytes: 512 | 4096
  /** Share of the operations that take long. */
  readonly slowShare: number
  /** Share of the reads and writes that do only a part at once. */
  readonly shortShare: number
  /** One operation per turn, oldest first: nothing but the crash is left to chance. */
  readonly isOrderly: boolean
}

const DEFAULT_DISK: DiskOptions = { sectorBytes: 4096, slowShare: 0, shortShare: 0, isOrderly: false }

/** What may fail. Changing a name durably takes two of them: `rename` and `sync folder`. */
export const faultKinds = [
  'read',
  'write',
  'sync',
  'open',
  'close',
  'size',
  'truncate',
  'rename',
  'remove',
  'list',
  'sync folder',
] as const

export type FaultKind = (typeof faultKinds)[number]

interface Operation {
  readonly label: string
  /** The turn from which on it may end. */
  readonly readyAt: number
  complete(): void
  /** What it may have done when the crash came first. */
  interrupt(isKept: Survival): void
}

/** What one operation does to names, wholly or not at all. */
interface NameChange {
  readonly order: number
  readonly folder: string
  readonly entries: readonly { readonly path: string; readonly inode: SimulatedInode | null }[]
}

export class SimulatedFileSystem implements FileSystem {
  /** Everything that happened, in order: two runs of one seed must have the same. */
  readonly trace: string[] = []
  /** Resolves when the crash comes. */
  readonly crashed: Promise<void>
  openHandles = 0
  /** Faults that came about, by kind. */
  readonly faults: Record<string, number> = {}
  readonly #random: SeededRandom
  readonly #disk: DiskOptions
  readonly #folders = new Set<string>(['/'])
  readonly #names = new Map<string, SimulatedInode>()
  readonly #durableNames = new Map<string, SimulatedInode>()
  #nameChanges: NameChange[] = []
  readonly #locks = new Set<string>()
  readonly #pending: Operation[] = []
  #roomBytes = NO_ROOM_LIMIT
  #roomCode: 'ENOSPC' | 'EDQUOT' = 'ENOSPC'
  readonly #faults = new Map<FaultKind, { remaining: number; code: string }>()
  #order = 0
  #turn = 0
  #steps = 0
  #crashAfterSteps = Number.POSITIVE_INFINITY
  #isCrashed = false
  #isScheduled = false
  #announceCrash!: () => void

  constructor(random: SeededRandom, disk: Partial<DiskOptions> = {}) {
    this.#random = random
    this.#disk = { ...DEFAULT_DISK, ...disk }
    this.crashed = new Promise((resolve) => {
      this.#announceCrash = resolve
    })
  }

  get steps(): number {
    return this.#steps
  }

  /** Operations under way. */
  get pendingCount(): number {
    return this.#pending.length
  }

  get isCrashed(): boolean {
    return this.#isCrashed
  }

  /** Names of the files below a folder, sorted. */
  filesIn(folder: string): string[] {
    return [...this.#names.keys()].filter((path) => path.startsWith(`${folder}/`)).sort()
  }

  /** The crash comes when so many more operations have ended. */
  crashAfter(steps: number): void {
    this.#crashAfterSteps = this.#steps + steps
  }

  /** What was changed in the names of a folder and is not durable stays so, whatever is synced later. */
  forgetNames(folder: string): void {
    this.#nameChanges = this.#nameChanges.filter((change) => change.folder !== folder)
  }

  /** From now on files may take only this much more. */
  limitRoom(moreBytes: number, code: 'ENOSPC' | 'EDQUOT' = 'ENOSPC'): void {
    this.#roomBytes = this.#usedBytes() + moreBytes
    this.#roomCode = code
  }

  liftLimit(): void {
    this.#roomBytes = NO_ROOM_LIMIT
  }

  /** The `count`-th operation of the kind from now on fails. */
  failOne(kind: FaultKind, count: number, code = 'EIO'): void {
    this.#faults.set(kind, { remaining: count, code })
  }

  /** Faults that were asked for and have not come yet will not. */
  endFaults(): void {
    this.#faults.clear()
  }

  /** Changes one bit of a file that exists, whose path `isMeant`; says which, or null where there is none. */
  flipBit(isMeant: (path: string) => boolean): { path: string; position: number } | null {
    const paths = [...this.#names.keys()].filter(isMeant).sort()
    for (let attempt = 0; attempt < MAX_FLIP_ATTEMPTS && paths.length > 0; attempt++) {
      const path = this.#random.pick(paths)
      const inode = this.#names.get(path)!
      if (inode.sizeBytes === 0) continue
      const position = this.#random.below(inode.sizeBytes)
      this.flipBitAt(path, position, this.#random.below(8))
      return { path, position }
    }
    return null
  }

  /** Somebody removed a file of which the path `isMeant`; says which, or null where there is none. */
  loseFile(isMeant: (path: string) => boolean): string | null {
    const paths = [...this.#names.keys()].filter(isMeant).sort()
    if (paths.length === 0) return null
    const path = this.#random.pick(paths)
    this.#names.delete(path)
    this.#durableNames.delete(path)
    this.#count('lost file')
    return path
  }

  flipBitAt(path: string, position: number, bit: number): void {
    this.#names.get(path)!.flipBit(position, bit)
    this.#count('bit flip')
  }

  /**
   * The machine after the crash. `power`: of what was not synced the disk keeps what `survival` says, or what it
   * pleases; otherwise only the process died, and what it had handed over survives. A disk that was full may
   * still be.
   */
  restart(power: boolean, keepsLimit = false, survival?: Survival): SimulatedFileSystem {
    this.#isCrashed = true
    const random = this.#random
    const likelihood = random.pick([0, 0.5, 0.5, 0.9, 1])
    const tearLikelihood = random.pick([0, 0.5, 0.9, 1])
    const byChance = (chance: number) => survival ?? (() => random.chance(chance))
    const isKept = power ? byChance(likelihood) : () => true
    if (!power) for (const inode of this.#names.values()) inode.keepVisible()
    for (const operation of this.#pending) operation.interrupt(byChance(tearLikelihood))
    const after = new SimulatedFileSystem(random, this.#disk)
    for (const folder of this.#folders) after.#folders.add(folder)
    for (const change of this.#nameChanges) if (isKept()) this.#settleNames(change)
    for (const [path, inode] of power ? this.#durableNames : this.#names) {
      const survivor = inode.survivor(isKept)
      after.#names.set(path, survivor)
      after.#durableNames.set(path, survivor)
    }
    if (keepsLimit && this.#roomBytes < NO_ROOM_LIMIT) after.limitRoom(0, this.#roomCode)
    return after
  }

  makeFolder(path: string): Promise<void> {
    return this.#operation(`make folder ${path}`, () => {
      for (let folder = path; folder !== '/'; folder = dirname(folder)) this.#folders.add(folder)
    })
  }

  list(folder: string): Promise<string[]> {
    return this.#operation(`list ${folder}`, () => {
      this.#failIfAsked('list', `scandir '${folder}'`)
      const names = [...this.#names.keys()].filter((path) => dirname(path) === folder)
      return names.map((path) => path.slice(folder.length + 1)).sort(() => this.#random.below(3) - 1)
    })
  }

  open(path: string, options: OpenOptions): Promise<StorageFile> {
    return this.#operation(`open ${path} ${options.access}`, () => {
      this.#failIfAsked('open', `open '${path}'`)
      let inode = this.#names.get(path)
      if (options.access === 'create') {
        if (inode !== undefined) throw systemError('EEXIST', `open '${path}'`)
        inode = new SimulatedInode(this.#disk.sectorBytes)
        this.#setNames([{ path, inode }])
      }
      if (inode === undefined) throw systemError('ENOENT', `open '${path}'`)
      this.openHandles++
      return this.#file(path, inode, options)
    })
  }

  readFile(path: string): Promise<Uint8Array | null> {
    return this.#operation(`read file ${path}`, () => {
      const content = this.#names.get(path)?.content() ?? null
      if (content !== null) this.#failIfAsked('read', `read '${path}'`)
      return content
    })
  }

  replaceFile(path: string, content: Uint8Array): Promise<void> {
    return replaceFile(this, path, Uint8Array.from(content))
  }

  rename(from: string, to: string): Promise<void> {
    return this.#operation(`rename ${from}`, () => {
      this.#failIfAsked('rename', `rename '${from}'`)
      const inode = this.#names.get(from)
      if (inode === undefined) throw systemError('ENOENT', `rename '${from}'`)
      this.#setNames([
        { path: from, inode: null },
        { path: to, inode },
      ])
    })
  }

  remove(path: string): Promise<void> {
    return this.#operation(`remove ${path}`, () => {
      if (!this.#names.has(path)) throw systemError('ENOENT', `unlink '${path}'`)
      this.#failIfAsked('remove', `unlink '${path}'`)
      this.#setNames([{ path, inode: null }])
    })
  }

  syncFolder(folder: string): Promise<void> {
    const upTo = this.#order
    return this.#operation(`sync folder ${folder}`, () => {
      const isSynced = (change: NameChange) => change.order <= upTo && change.folder === folder
      const isFaulty = this.#isFaulty('sync folder')
      for (const change of this.#nameChanges) {
        if (isSynced(change) && (!isFaulty || this.#random.chance(0.5))) this.#settleNames(change)
      }
      this.#nameChanges = this.#nameChanges.filter((change) => !isSynced(change))
      if (isFaulty) throw systemError('EIO', `fsync '${folder}'`)
    })
  }

  lock(path: string): Promise<FolderLock | null> {
    return this.#operation(`lock ${path}`, () => {
      if (this.#locks.has(path)) return null
      this.#locks.add(path)
      return {
        release: () =>
          this.#operation(`unlock ${path}`, () => {
            this.#locks.delete(path)
          }),
      }
    })
  }

  pause(): Promise<void> {
    return this.#operation('pause', () => {})
  }

  #file(path: string, inode: SimulatedInode, options: OpenOptions): StorageFile {
    let isOpen = true
    const begin = (position: number, bytes?: Uint8Array) => {
      if (!isOpen) throw systemError('EBADF', `'${path}' is closed`)
      const aligned = (value: number) => value % DIRECT_ALIGNMENT_BYTES === 0
      if (
        options.direct &&
        bytes !== undefined &&
        !(aligned(position) && aligned(bytes.byteLength) && aligned(bytes.byteOffset))
      ) {
        throw systemError('EINVAL', `direct access to ${bytes.byteLength} bytes at ${position} of '${path}'`)
      }
    }
    const read: Transfer = (target, at, done) => {
      const operation = this.#operation(`read ${path} ${at} ${target.byteLength}`, () => {
        this.#failIfAsked('read', `read '${path}'`)
        return inode.readInto(target.subarray(0, this.#lengthAtOnce(target.byteLength)), at)
      })
      settle(operation, done)
    }
    const write: Transfer = (bytes, at, done) => {
      const operation = this.#operation(
        `write ${path} ${at} ${bytes.byteLength}`,
        () => this.#write(path, inode, bytes, at, options.writesAreDurable),
        (isKept) => inode.tear(inode.blocksOf(bytes, at), isKept),
      )
      settle(operation, done)
    }
    return {
      read: async (target, position) => {
        begin(position, target)
        return readWhole(read, target, position)
      },
      write: async (bytes, position) => {
        begin(position, bytes)
        return writeWhole(write, bytes, position)
      },
      sync: async () => {
        begin(0)
        const upTo = this.#order
        return this.#operation(`sync ${path}`, () => {
          if (this.#isFaulty('sync')) {
            inode.makeDurable(upTo, 0, () => this.#random.chance(0.5))
            throw systemError('EIO', `fdatasync '${path}'`)
          }
          inode.makeDurable(upTo)
        })
      },
      sizeBytes: async () => {
        begin(0)
        return this.#operation(`size ${path}`, () => {
          this.#failIfAsked('size', `fstat '${path}'`)
          return inode.sizeBytes
        })
      },
      truncate: async (sizeBytes) => {
        begin(0)
        return this.#operation(`truncate ${path} ${sizeBytes}`, () => {
          this.#failIfAsked('truncate', `ftruncate '${path}'`)
          inode.setSize(sizeBytes, ++this.#order)
        })
      },
      close: async () => {
        begin(0)
        isOpen = false
        return this.#operation(`close ${path}`, () => {
          this.openHandles--
          // The descriptor is gone all the same.
          this.#failIfAsked('close', `close '${path}'`)
        })
      },
    }
  }

  /** How much of a transfer is done at once: all, or a part in whole blocks. */
  #lengthAtOnce(byteLength: number): number {
    const blocks = Math.ceil(byteLength / BLOCK_BYTES)
    if (blocks < 2 || !this.#random.chance(this.#disk.shortShare)) return byteLength
    this.#count('short transfer')
    return this.#random.between(1, blocks - 1) * BLOCK_BYTES
  }

  #write(path: string, inode: SimulatedInode, bytes: Uint8Array, position: number, durable: boolean): number {
    const isFaulty = this.#isFaulty('write')
    const end = position + this.#lengthAtOnce(bytes.byteLength)
    let touched = inode.blocksOf(bytes.subarray(0, end - position), position)
    if (isFaulty) touched = touched.filter(() => this.#random.chance(0.5))
    const orderBefore = this.#order
    let roomBytes = this.#roomBytes - this.#usedBytes()
    let writtenEnd = end
    for (const one of touched) {
      if (!inode.blocks.has(one.block)) {
        roomBytes -= BLOCK_BYTES
        if (roomBytes < 0) {
          writtenEnd = Math.max(position, one.block * BLOCK_BYTES)
          break
        }
      }
      inode.put(one, Math.min((one.block + 1) * BLOCK_BYTES, end), () => ++this.#order)
    }
    if (durable) inode.makeDurable(this.#order, orderBefore)
    if (isFaulty) throw systemError('EIO', `write '${path}'`)
    if (writtenEnd === position) {
      this.#count(this.#roomCode)
      throw systemError(this.#roomCode, `write '${path}'`)
    }
    return writtenEnd - position
  }

  #setNames(entries: NameChange['entries']): void {
    for (const { path, inode } of entries) {
      if (inode === null) this.#names.delete(path)
      else this.#names.set(path, inode)
    }
    this.#nameChanges.push({ order: ++this.#order, folder: dirname(entries[0]!.path), entries })
  }

  #settleNames({ entries }: NameChange): void {
    for (const { path, inode } of entries) {
      if (inode === null) this.#durableNames.delete(path)
      else this.#durableNames.set(path, inode)
    }
  }

  #usedBytes(): number {
    let blocks = 0
    for (const inode of this.#names.values()) blocks += inode.blocks.size
    return blocks * BLOCK_BYTES
  }

  #count(what: string): void {
    this.faults[what] = (this.faults[what] ?? 0) + 1
  }

  #isFaulty(kind: FaultKind): boolean {
    const fault = this.#faults.get(kind)
    if (fault === undefined || --fault.remaining > 0) return false
    this.#faults.delete(kind)
    this.#count(`${fault.code} on ${kind}`)
    return true
  }

  #failIfAsked(kind: FaultKind, message: string): void {
    const code = this.#faults.get(kind)?.code
    if (this.#isFaulty(kind)) throw systemError(code!, message)
  }

  #operation<T>(label: string, act: () => T, interrupt: Operation['interrupt'] = () => {}): Promise<T> {
    return new Promise((resolve, reject) => {
      const isSlow = this.#disk.slowShare > 0 && this.#random.chance(this.#disk.slowShare)
      if (isSlow) this.#count('slow operation')
      this.#pending.push({
        label,
        readyAt: this.#turn + (isSlow ? this.#random.between(1, MAX_SLOW_TURNS) : 0),
        complete: () => {
          try {
            const result = act()
            this.trace.push(label)
            resolve(result)
          } catch (error) {
            this.trace.push(`${label}: ${(error as Error).message}`)
            reject(error)
          }
        },
        interrupt,
      })
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isCrashed) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#step()
    })
  }

  /** Ends one operation, or none: then more of them are under way together. */
  #step(): void {
    if (this.#isCrashed || this.#pending.length === 0) return
    if (this.#steps >= this.#crashAfterSteps) {
      this.#isCrashed = true
      this.trace.push('crash')
      this.#announceCrash()
      return
    }
    this.#turn++
    if (this.#disk.isOrderly || this.#random.chance(0.7)) {
      const ready = this.#pending.filter(({ readyAt }) => readyAt <= this.#turn)
      const operation = this.#disk.isOrderly ? ready[0] : this.#anyOf(ready)
      if (operation !== undefined) {
        this.#steps++
        this.#pending.splice(this.#pending.indexOf(operation), 1)
        operation.complete()
      }
    }
    this.#schedule()
  }

  #anyOf(operations: readonly Operation[]): Operation | undefined {
    return operations.length === 0 ? undefined : this.#random.pick(operations)
  }
}

function settle(operation: Promise<number>, done: Parameters<Transfer>[2]): void {
  operation.then(
    (count) => done(null, count),
    (error: Error) => done(error, 0),
  )
}

function systemError(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code })
}
