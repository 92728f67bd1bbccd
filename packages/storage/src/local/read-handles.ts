import type { FileSystem, StorageFile } from './file-system.ts'

/**
 * Files open for reading. However many files there are, only so many of them are open at once: when another one is
 * opened, the one that was used longest ago is closed, unless it is read just now or could not be opened again.
 */
const MAX_OPEN_FILES = 256

export class ReadHandles {
  readonly fileSystem: FileSystem
  readonly #maxOpen: number
  /** In the order of last use. */
  readonly #open = new Set<ReadHandle>()

  constructor(fileSystem: FileSystem, maxOpen = MAX_OPEN_FILES) {
    this.fileSystem = fileSystem
    this.#maxOpen = maxOpen
  }

  /** Makes `handle` the last one to be closed. Resolves when there is room for it. */
  async touch(handle: ReadHandle): Promise<void> {
    this.#open.delete(handle)
    this.#open.add(handle)
    for (const oldest of this.#open) {
      if (this.#open.size <= this.#maxOpen) return
      if (oldest !== handle) await oldest.pause()
    }
  }

  closed(handle: ReadHandle): void {
    this.#open.delete(handle)
  }
}

/** One file, opened when something is read from it. */
export class ReadHandle {
  readonly #handles: ReadHandles
  readonly #path: string
  readonly #direct: boolean
  #file: Promise<StorageFile> | null = null
  #reads = 0
  /** The file is removed, and somebody goes on reading: it could not be opened again. */
  #isKept = false
  #isDone = false

  /** @param direct past the page cache, see `OpenOptions` */
  constructor(handles: ReadHandles, path: string, direct: boolean) {
    this.#handles = handles
    this.#path = path
    this.#direct = direct
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    this.#reads++
    try {
      const file = await this.#open()
      return await file.read(target, position)
    } finally {
      this.#reads--
      if (this.#isDone) await this.pause()
    }
  }

  /** Opens the file, so that it can still be read when it is removed. */
  async keepOpen(): Promise<void> {
    this.#isKept = true
    try {
      await this.#open()
    } catch (error) {
      this.#isKept = false
      throw error
    }
  }

  /** Closes it unless it is in use; it is opened again when needed. */
  async pause(): Promise<void> {
    if (this.#reads > 0 || this.#isKept) return
    const file = this.#file
    this.#file = null
    this.#handles.closed(this)
    try {
      await (await file)?.close()
    } catch {
      // Nothing was written through it; and whoever needed it and could not open it was told.
    }
  }

  /** Closes it, now or when the reads under way have ended. */
  async end(): Promise<void> {
    this.#isDone = true
    this.#isKept = false
    await this.pause()
  }

  #open(): Promise<StorageFile> {
    const { fileSystem } = this.#handles
    const room = this.#handles.touch(this)
    if (this.#file !== null) return this.#file
    const options = { access: 'read', direct: this.#direct, writesAreDurable: false } as const
    const opening = room.then(() => fileSystem.open(this.#path, options))
    this.#file = opening
    // Out of file descriptors, for example: the next reader tries again.
    opening.catch(() => {
      if (this.#file !== opening) return
      this.#file = null
      this.#handles.closed(this)
    })
    return opening
  }
}
