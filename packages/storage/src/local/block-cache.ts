import { alignedMemory } from './aligned-memory.ts'
import type { DiskAccess } from './disk-access.ts'
import type { LogFile } from './log-files.ts'

/**
 * Large blocks of old log files, for those who read them in order.
 *
 * Files are read past the page cache, so reading ahead is ours to do: a reader who has used half of a block
 * has the next one loaded meanwhile. Consumers of different partitions that are about equally far behind
 * find each other's blocks. Bytes are copied out at once, so nobody holds a block, however slow.
 */
export const BLOCK_BYTES = 1024 ** 2
const MAX_BLOCKS = 16

interface Block {
  readonly file: LogFile
  readonly number: number
  readonly memory: Uint8Array
  /** Bytes from the start of the block that are known not to change any more. */
  validBytes: number
  loading: Promise<void> | null
}

export class BlockCache {
  /** By file and number, in the order of last use. */
  readonly #blocks = new Map<LogFile, Map<number, Block>>()
  readonly #used = new Set<Block>()
  readonly #freeMemory: Uint8Array[] = []
  readonly #disk: DiskAccess

  constructor(disk: DiskAccess) {
    this.#disk = disk
  }

  /** The longest part of [position, position + byteLength) from its start that is loaded, or null. */
  recall(file: LogFile, position: number, byteLength: number): Uint8Array | null {
    const block = this.#find(file, position)
    const within = position % BLOCK_BYTES
    if (block === undefined || within >= block.validBytes) return null
    const end = Math.min(within + byteLength, block.validBytes)
    this.#touch(block)
    if (end > BLOCK_BYTES / 2) this.#readAhead(file, block.number + 1)
    return block.memory.subarray(within, end)
  }

  /** Loads the block that holds `position`, unless it is there. */
  async load(file: LogFile, position: number): Promise<void> {
    for (;;) {
      const block = this.#find(file, position)
      if (block?.loading != null) {
        await block.loading
        continue
      }
      if (isLoaded(block, position)) return
      await this.#disk.take()
      // Somebody else may have begun or finished it meanwhile.
      const now = this.#find(file, position)
      if (now?.loading == null && !isLoaded(now, position)) {
        return this.#start(file, Math.floor(position / BLOCK_BYTES))
      }
      this.#disk.give()
    }
  }

  #readAhead(file: LogFile, number: number): void {
    const isThere = this.#blocks.get(file)?.has(number) === true
    if (isThere || (number + 1) * BLOCK_BYTES > file.committedEnd || !this.#disk.tryTake()) return
    // Whoever needs the block meets the same error and is told.
    this.#start(file, number).catch(() => undefined)
  }

  /** The caller has taken a slot, which is given back when the block is loaded. */
  #start(file: LogFile, number: number): Promise<void> {
    this.#drop(this.#blocks.get(file)?.get(number))
    const block: Block = { file, number, memory: this.#takeMemory(), validBytes: 0, loading: null }
    let ofFile = this.#blocks.get(file)
    if (ofFile === undefined) {
      ofFile = new Map()
      this.#blocks.set(file, ofFile)
    }
    ofFile.set(number, block)
    this.#used.add(block)
    block.loading = this.#fill(block)
    return block.loading
  }

  async #fill(block: Block): Promise<void> {
    const { file, number, memory } = block
    file.hold()
    try {
      const position = number * BLOCK_BYTES
      // What is committed while the block is read may have been read before it was written.
      const { committedEnd } = file
      const read = await file.readBlocks(memory, position)
      block.validBytes = Math.max(0, Math.min(read, committedEnd - position))
      // The slot given back below may start a load that pushes a block out before whoever waits for this one
      // has copied anything: it must not be the oldest, whatever was used while it was read.
      this.#touch(block)
    } catch (error) {
      this.#drop(block)
      throw error
    } finally {
      block.loading = null
      file.release()
      this.#disk.give()
    }
  }

  /** Makes the block the last one to be pushed out. */
  #touch(block: Block): void {
    this.#used.delete(block)
    this.#used.add(block)
  }

  #find(file: LogFile, position: number): Block | undefined {
    return this.#blocks.get(file)?.get(Math.floor(position / BLOCK_BYTES))
  }

  #takeMemory(): Uint8Array {
    const free = this.#freeMemory.pop()
    if (free !== undefined) return free
    if (this.#used.size >= MAX_BLOCKS) {
      for (const block of this.#used) {
        if (block.loading !== null) continue
        this.#drop(block)
        return this.#freeMemory.pop()!
      }
    }
    return alignedMemory(BLOCK_BYTES)
  }

  #drop(block: Block | undefined): void {
    if (block === undefined || !this.#used.delete(block)) return
    const ofFile = this.#blocks.get(block.file)
    ofFile?.delete(block.number)
    if (ofFile?.size === 0) this.#blocks.delete(block.file)
    this.#freeMemory.push(block.memory)
  }
}

function isLoaded(block: Block | undefined, position: number): boolean {
  return block !== undefined && position % BLOCK_BYTES < block.validBytes
}
