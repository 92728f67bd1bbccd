import { dirname } from 'node:path'
import {
  DIRECT_ALIGNMENT_BYTES,
  type FileSystem,
  type FolderLock,
  type OpenOptions,
  type StorageFile,
} from '../local/file-system.ts'
import type { SeededRandom } from './seeded-random.ts'

/**
 * A filesystem in memory that fails the way disks do, reproducibly from a seed.
 *
 * - Operations under way at the same time end in a seeded order, one per turn of the event loop.
 * - At a crash, what was written but not synced, and what was still being written, survives in an arbitrary
 *   subset of its 4 KiB blocks; names that were not synced with their folder are there or not.
 * - Room may run out (ENOSPC, after a part was written) and come back.
 * - A chosen write or sync fails with EIO; what it left on the disk is arbitrary.
 *
 * A crash leaves every operation under way pending for ever, as the death of the process would.
 */
const BLOCK_BYTES = DIRECT_ALIGNMENT_BYTES
const NO_ROOM_LIMIT = Number.POSITIVE_INFINITY

/** One change of a file that is not durable: a block's new content, or a new size. */
interface Change {
  readonly order: number
  readonly block: number
  /** Null for a change of the size. */
  readonly content: Uint8Array | null
  readonly sizeBytes: number
}

class Inode {
  readonly blocks = new Map<number, Uint8Array>()
  sizeBytes = 0
  readonly durableBlocks = new Map<number, Uint8Array>()
  durableSizeBytes = 0
  unsynced: Change[] = []

  /** The changes after `after` up to `upTo`, as far as `isKept` says. */
  makeDurable(upTo: number, after = 0, isKept: () => boolean = () => true): void {
    const isMeant = ({ order }: Change) => order > after && order <= upTo
    for (const change of this.unsynced) if (isMeant(change) && isKept()) this.#settle(change)
    this.unsynced = this.unsynced.filter((change) => !isMeant(change))
  }

  #settle(change: Change): void {
    if (change.content !== null) {
      this.durableBlocks.set(change.block, change.content)
      return
    }
    this.durableSizeBytes = change.sizeBytes
    for (const block of this.durableBlocks.keys()) {
      if (block * BLOCK_BYTES >= change.sizeBytes) this.durableBlocks.delete(block)
    }
  }

  /** The file as it is after the crash. */
  survivor(random: SeededRandom, keepsUnsynced: () => boolean): Inode {
    for (const change of this.unsynced) if (keepsUnsynced()) this.#settle(change)
    const inode = new Inode()
    inode.sizeBytes = this.durableSizeBytes
    for (const [block, content] of this.durableBlocks) {
      if (block * BLOCK_BYTES >= inode.sizeBytes) {
        if (!random.chance(0.5)) continue
        // A block whose write came through may have taken the size of the file with it.
        inode.sizeBytes = (block + 1) * BLOCK_BYTES
      }
      inode.blocks.set(block, content)
    }
    inode.keepVisible()
    return inode
  }

  /** As if everything visible had been synced. */
  keepVisible(): void {
    this.unsynced = []
    this.durableBlocks.clear()
    for (const [block, content] of this.blocks) this.durableBlocks.set(block, content)
    this.durableSizeBytes = this.sizeBytes
  }

  setContent(content: Uint8Array): void {
    for (let at = 0; at < content.byteLength; at += BLOCK_BYTES) {
      const block = new Uint8Array(BLOCK_BYTES)
      block.set(content.subarray(at, at + BLOCK_BYTES))
      this.blocks.set(at / BLOCK_BYTES, block)
    }
    this.sizeBytes = content.byteLength
    this.keepVisible()
  }

  content(): Uint8Array {
    const bytes = new Uint8Array(this.sizeBytes)
    this.readInto(bytes, 0)
    return bytes
  }

  readInto(target: Uint8Array, position: number): number {
    const end = Math.min(position + target.byteLength, this.sizeBytes)
    for (let at = position; at < end; ) {
      const block = Math.floor(at / BLOCK_BYTES)
      const within = at - block * BLOCK_BYTES
      const size = Math.min(BLOCK_BYTES - within, end - at)
      const content = this.blocks.get(block)
      if (content === undefined) target.fill(0, at - position, at - position + size)
      else target.set(content.subarray(within, within + size), at - position)
      at += size
    }
    return Math.max(0, end - position)
  }
}

/** A write split into the blocks it touches, each with its whole content after the write. */
function blocksOf(
  inode: Inode,
  bytes: Uint8Array,
  position: number,
): { block: number; content: Uint8Array }[] {
  const touched: { block: number; content: Uint8Array }[] = []
  const end = position + bytes.byteLength
  for (let block = Math.floor(position / BLOCK_BYTES); block * BLOCK_BYTES < end; block++) {
    const content = new Uint8Array(BLOCK_BYTES)
    const before = inode.blocks.get(block)
    if (before !== undefined) content.set(before)
    const from = Math.max(position, block * BLOCK_BYTES)
    const to = Math.min(end, (block + 1) * BLOCK_BYTES)
    content.set(bytes.subarray(from - position, to - position), from - block * BLOCK_BYTES)
    touched.push({ block, content })
  }
  return touched
}

interface Operation {
  readonly label: string
  complete(): void
  /** What it may have done when the crash came first. */
  interrupt(): void
}

/** What one operation does to names, wholly or not at all. */
interface NameChange {
  readonly order: number
  readonly folder: string
  readonly entries: readonly { readonly path: string; readonly inode: Inode | null }[]
}

interface Fault {
  readonly kind: 'write' | 'sync'
  remaining: number
}

export class SimulatedFileSystem implements FileSystem {
  /** Everything that happened, in order: two runs of one seed must have the same. */
  readonly trace: string[] = []
  /** Resolves when the crash comes. */
  readonly crashed: Promise<void>
  openHandles = 0
  readonly #random: SeededRandom
  readonly #folders = new Set<string>(['/'])
  readonly #names = new Map<string, Inode>()
  readonly #durableNames = new Map<string, Inode>()
  #nameChanges: NameChange[] = []
  readonly #locks = new Set<string>()
  readonly #pending: Operation[] = []
  #roomBytes = NO_ROOM_LIMIT
  #fault: Fault | null = null
  #order = 0
  #steps = 0
  #crashAfterSteps = Number.POSITIVE_INFINITY
  #isCrashed = false
  #isScheduled = false
  #announceCrash!: () => void

  constructor(random: SeededRandom) {
    this.#random = random
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

  /** The crash comes when so many more operations have ended. */
  crashAfter(steps: number): void {
    this.#crashAfterSteps = this.#steps + steps
  }

  /** From now on files may take only this much more. */
  limitRoom(moreBytes: number): void {
    this.#roomBytes = this.#usedBytes() + moreBytes
  }

  liftLimit(): void {
    this.#roomBytes = NO_ROOM_LIMIT
  }

  /** The `count`-th write or sync from now on fails with EIO. */
  failOne(kind: 'write' | 'sync', count: number): void {
    this.#fault = { kind, remaining: count }
  }

  /**
   * The machine after the crash. `power`: what was not synced is lost as it pleases the disk; otherwise only
   * the process died, and what it had handed over survives. A disk that was full may still be.
   */
  restart(power: boolean, keepsLimit = false): SimulatedFileSystem {
    this.#isCrashed = true
    const random = this.#random
    const likelihood = random.pick([0, 0.5, 0.5, 1])
    const survives = () => random.chance(power ? likelihood : 1)
    if (!power) for (const inode of this.#names.values()) inode.keepVisible()
    for (const operation of this.#pending) operation.interrupt()
    const after = new SimulatedFileSystem(random)
    for (const folder of this.#folders) after.#folders.add(folder)
    for (const change of this.#nameChanges) if (survives()) this.#settleNames(change)
    for (const [path, inode] of this.#durableNames) {
      const survivor = inode.survivor(random, survives)
      after.#names.set(path, survivor)
      after.#durableNames.set(path, survivor)
    }
    if (keepsLimit && this.#roomBytes < NO_ROOM_LIMIT) after.limitRoom(0)
    return after
  }

  makeFolder(path: string): Promise<void> {
    return this.#operation(`make folder ${path}`, () => {
      for (let folder = path; folder !== '/'; folder = dirname(folder)) this.#folders.add(folder)
    })
  }

  list(folder: string): Promise<string[]> {
    return this.#operation(`list ${folder}`, () => {
      const names = [...this.#names.keys()].filter((path) => dirname(path) === folder)
      return names.map((path) => path.slice(folder.length + 1)).sort(() => this.#random.below(3) - 1)
    })
  }

  open(path: string, options: OpenOptions): Promise<StorageFile> {
    return this.#operation(`open ${path} ${options.access}`, () => {
      let inode = this.#names.get(path)
      if (options.access === 'create') {
        if (inode !== undefined) throw systemError('EEXIST', `open '${path}'`)
        inode = new Inode()
        this.#setNames([{ path, inode }])
      }
      if (inode === undefined) throw systemError('ENOENT', `open '${path}'`)
      this.openHandles++
      return this.#file(path, inode, options)
    })
  }

  readFile(path: string): Promise<Uint8Array | null> {
    return this.#operation(`read file ${path}`, () => this.#names.get(path)?.content() ?? null)
  }

  replaceFile(path: string, content: Uint8Array): Promise<void> {
    const copy = Uint8Array.from(content)
    const replace = () => {
      const inode = new Inode()
      inode.setContent(copy)
      this.#setNames([{ path, inode }])
      this.#syncNames(dirname(path), this.#order)
    }
    return this.#operation(
      `replace ${path} ${content.byteLength}`,
      () => {
        if (this.#usedBytes() + content.byteLength > this.#roomBytes) {
          throw systemError('ENOSPC', `write '${path}'`)
        }
        replace()
      },
      () => {
        if (this.#random.chance(0.5)) replace()
      },
    )
  }

  rename(from: string, to: string): Promise<void> {
    return this.#operation(`rename ${from}`, () => {
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
      this.#setNames([{ path, inode: null }])
    })
  }

  syncFolder(folder: string): Promise<void> {
    const upTo = this.#order
    return this.#operation(`sync folder ${folder}`, () => this.#syncNames(folder, upTo))
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

  #file(path: string, inode: Inode, options: OpenOptions): StorageFile {
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
    return {
      read: async (target, position) => {
        begin(position, target)
        return this.#operation(`read ${path} ${position} ${target.byteLength}`, () =>
          inode.readInto(target, position),
        )
      },
      write: async (bytes, position) => {
        begin(position, bytes)
        return this.#operation(
          `write ${path} ${position} ${bytes.byteLength}`,
          () => this.#write(path, inode, bytes, position, options.writesAreDurable),
          () => this.#tear(inode, bytes, position),
        )
      },
      sync: async () => {
        begin(0)
        const upTo = this.#order
        return this.#operation(`sync ${path}`, () => {
          if (this.#isFaulty('sync')) {
            // What could not be written is forgotten: a later sync would not try it again.
            inode.makeDurable(upTo, 0, () => this.#random.chance(0.5))
            throw systemError('EIO', `fdatasync '${path}'`)
          }
          inode.makeDurable(upTo)
        })
      },
      sizeBytes: async () => {
        begin(0)
        return this.#operation(`size ${path}`, () => inode.sizeBytes)
      },
      truncate: async (sizeBytes) => {
        begin(0)
        return this.#operation(`truncate ${path} ${sizeBytes}`, () => this.#setSize(inode, sizeBytes))
      },
      close: async () => {
        begin(0)
        isOpen = false
        return this.#operation(`close ${path}`, () => {
          this.openHandles--
        })
      },
    }
  }

  #write(path: string, inode: Inode, bytes: Uint8Array, position: number, durable: boolean): void {
    let touched = blocksOf(inode, bytes, position)
    const isFaulty = this.#isFaulty('write')
    if (isFaulty) touched = touched.filter(() => this.#random.chance(0.5))
    const orderBefore = this.#order
    let roomBytes = this.#roomBytes - this.#usedBytes()
    let isFull = false
    for (const { block, content } of touched) {
      if (!inode.blocks.has(block)) {
        roomBytes -= BLOCK_BYTES
        isFull ||= roomBytes < 0
      }
      if (isFull) break
      this.#putBlock(inode, block, content, Math.min((block + 1) * BLOCK_BYTES, position + bytes.byteLength))
    }
    if (durable) inode.makeDurable(this.#order, orderBefore)
    if (isFaulty) throw systemError('EIO', `write '${path}'`)
    if (isFull) throw systemError('ENOSPC', `write '${path}'`)
  }

  /** The crash came while this was being written. */
  #tear(inode: Inode, bytes: Uint8Array, position: number): void {
    const likelihood = this.#random.pick([0, 0.5, 0.9, 1])
    for (const { block, content } of blocksOf(inode, bytes, position)) {
      if (!this.#random.chance(likelihood)) continue
      inode.durableBlocks.set(block, content)
      inode.durableSizeBytes = Math.max(inode.durableSizeBytes, (block + 1) * BLOCK_BYTES)
    }
  }

  #putBlock(inode: Inode, block: number, content: Uint8Array, endBytes: number): void {
    inode.blocks.set(block, content)
    inode.unsynced.push({ order: ++this.#order, block, content, sizeBytes: 0 })
    if (endBytes <= inode.sizeBytes) return
    inode.sizeBytes = endBytes
    inode.unsynced.push({ order: ++this.#order, block, content: null, sizeBytes: endBytes })
  }

  #setSize(inode: Inode, sizeBytes: number): void {
    inode.sizeBytes = sizeBytes
    for (const block of inode.blocks.keys()) {
      if (block * BLOCK_BYTES >= sizeBytes) inode.blocks.delete(block)
    }
    inode.unsynced.push({ order: ++this.#order, block: 0, content: null, sizeBytes })
  }

  #setNames(entries: NameChange['entries']): void {
    for (const { path, inode } of entries) {
      if (inode === null) this.#names.delete(path)
      else this.#names.set(path, inode)
    }
    this.#nameChanges.push({ order: ++this.#order, folder: dirname(entries[0]!.path), entries })
  }

  #syncNames(folder: string, upTo: number): void {
    const isSynced = (change: NameChange) => change.order <= upTo && change.folder === folder
    for (const change of this.#nameChanges) if (isSynced(change)) this.#settleNames(change)
    this.#nameChanges = this.#nameChanges.filter((change) => !isSynced(change))
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

  #isFaulty(kind: 'write' | 'sync'): boolean {
    if (this.#fault?.kind !== kind || --this.#fault.remaining > 0) return false
    this.#fault = null
    return true
  }

  #operation<T>(label: string, act: () => T, interrupt: () => void = () => {}): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#pending.push({
        label,
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
    if (this.#random.chance(0.7)) {
      this.#steps++
      const [operation] = this.#pending.splice(this.#random.below(this.#pending.length), 1)
      operation!.complete()
    }
    this.#schedule()
  }
}

function systemError(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code })
}
