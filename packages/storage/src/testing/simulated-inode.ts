import { DIRECT_ALIGNMENT_BYTES } from '../local/file-system.ts'

/**
 * A file of the simulated disk: what the process sees of it, what is durable, and the changes in between, of
 * which a crash keeps any subset: a change of the size, or the sectors of a block.
 */
export const BLOCK_BYTES = DIRECT_ALIGNMENT_BYTES

/**
 * Decides over what a crash leaves of that which was not synced. Asked once for each name, each size and each
 * sector, in the order in which they were changed.
 */
export type Survival = () => boolean

/** One change of a file that is not durable: a block's new content, or a new size. */
interface Change {
  readonly order: number
  readonly block: number
  /** Null for a change of the size. */
  readonly content: Uint8Array | null
  readonly sizeBytes: number
}

/** A block as it would be after a write. */
export interface BlockContent {
  readonly block: number
  readonly content: Uint8Array
}

export class SimulatedInode {
  readonly blocks = new Map<number, Uint8Array>()
  sizeBytes = 0
  /** What the disk writes wholly or not at all: 512 bytes, or 4 KiB. */
  readonly #sectorBytes: number
  readonly #durableBlocks = new Map<number, Uint8Array>()
  #durableSizeBytes = 0
  #unsynced: Change[] = []

  constructor(sectorBytes: number) {
    this.#sectorBytes = sectorBytes
  }

  put({ block, content }: BlockContent, endBytes: number, nextOrder: () => number): void {
    this.blocks.set(block, content)
    this.#unsynced.push({ order: nextOrder(), block, content, sizeBytes: 0 })
    if (endBytes <= this.sizeBytes) return
    this.sizeBytes = endBytes
    this.#unsynced.push({ order: nextOrder(), block, content: null, sizeBytes: endBytes })
  }

  setSize(sizeBytes: number, order: number): void {
    this.sizeBytes = sizeBytes
    for (const block of this.blocks.keys()) {
      if (block * BLOCK_BYTES >= sizeBytes) this.blocks.delete(block)
    }
    this.#unsynced.push({ order, block: 0, content: null, sizeBytes })
  }

  /** The changes after `after` up to `upTo`; those that are not kept are forgotten, and no sync brings them back. */
  makeDurable(upTo: number, after = 0, isKept: Survival = () => true): void {
    const isMeant = ({ order }: Change) => order > after && order <= upTo
    for (const change of this.#unsynced) if (isMeant(change)) this.#settle(change, isKept)
    this.#unsynced = this.#unsynced.filter((change) => !isMeant(change))
  }

  /** A write that had not ended when the crash came. */
  tear(touched: readonly BlockContent[], isKept: Survival): void {
    for (const { block, content } of touched) {
      if (!this.#settleBlock(block, content, isKept)) continue
      this.#durableSizeBytes = Math.max(this.#durableSizeBytes, (block + 1) * BLOCK_BYTES)
    }
  }

  /** The file as it is after the crash. */
  survivor(isKept: Survival): SimulatedInode {
    this.makeDurable(Number.POSITIVE_INFINITY, 0, isKept)
    const inode = new SimulatedInode(this.#sectorBytes)
    inode.sizeBytes = this.#durableSizeBytes
    for (const [block, content] of this.#durableBlocks) {
      if (block * BLOCK_BYTES >= inode.sizeBytes) {
        if (!isKept()) continue
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
    this.#unsynced = []
    this.#durableBlocks.clear()
    for (const [block, content] of this.blocks) this.#durableBlocks.set(block, content)
    this.#durableSizeBytes = this.sizeBytes
  }

  /** The disk brings one bit back as another one from now on. */
  flipBit(position: number, bit: number): void {
    const block = Math.floor(position / BLOCK_BYTES)
    const flipped = new Uint8Array(BLOCK_BYTES)
    flipped.set(this.blocks.get(block) ?? [])
    flipped[position % BLOCK_BYTES]! ^= 1 << bit
    this.blocks.set(block, flipped)
    this.#durableBlocks.set(block, flipped)
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

  /** A write split into the blocks it touches, each with its whole content after the write. */
  blocksOf(bytes: Uint8Array, position: number): BlockContent[] {
    const touched: BlockContent[] = []
    const end = position + bytes.byteLength
    for (let block = Math.floor(position / BLOCK_BYTES); block * BLOCK_BYTES < end; block++) {
      const content = new Uint8Array(BLOCK_BYTES)
      const before = this.blocks.get(block)
      if (before !== undefined) content.set(before)
      const from = Math.max(position, block * BLOCK_BYTES)
      const to = Math.min(end, (block + 1) * BLOCK_BYTES)
      content.set(bytes.subarray(from - position, to - position), from - block * BLOCK_BYTES)
      touched.push({ block, content })
    }
    return touched
  }

  #settle({ content, block, sizeBytes }: Change, isKept: Survival): void {
    if (content !== null) {
      this.#settleBlock(block, content, isKept)
      return
    }
    if (!isKept()) return
    this.#durableSizeBytes = sizeBytes
    for (const durable of this.#durableBlocks.keys()) {
      if (durable * BLOCK_BYTES >= sizeBytes) this.#durableBlocks.delete(durable)
    }
  }

  /** Sector by sector; true when any came through. */
  #settleBlock(block: number, content: Uint8Array, isKept: Survival): boolean {
    const before = this.#durableBlocks.get(block)
    const after = new Uint8Array(BLOCK_BYTES)
    after.set(before ?? [])
    let any = false
    for (let at = 0; at < BLOCK_BYTES; at += this.#sectorBytes) {
      const sector = content.subarray(at, at + this.#sectorBytes)
      const isSame =
        before !== undefined && Buffer.compare(sector, after.subarray(at, at + this.#sectorBytes)) === 0
      if (isSame || !isKept()) continue
      after.set(sector, at)
      any = true
    }
    if (any) this.#durableBlocks.set(block, after)
    return any
  }
}
