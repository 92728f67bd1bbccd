import { join } from 'node:path'
import { alignedMemory } from './aligned-memory.ts'
import { type FileSystem, isNoRoom, removeIfPresent } from './file-system.ts'
import { BLOCK_BYTES } from './log-format.ts'

/**
 * Room kept for the changes that make room. Deleting a topic, or the first records of a log, is a change that has to
 * be written, which a full disk would refuse for ever: so a file takes some room while there is any, and gives it up
 * for such a change. Meanwhile nothing else is written, and when space is free the file is made again.
 *
 * It holds zeros, and losing it loses nothing.
 */
const NAME = 'reserve'
const MAX_BYTES = 1024 ** 2

export class Reserve {
  readonly #fileSystem: FileSystem
  readonly #path: string
  readonly #byteLength: number
  /** A change is being written in its room: everything else has to wait for the next time. */
  isInUse = false
  /** It was given up, and is not there again: room is wanted at once. */
  isSpent = false

  constructor(fileSystem: FileSystem, dataDir: string, fileBytes: number) {
    this.#fileSystem = fileSystem
    this.#path = join(dataDir, NAME)
    this.#byteLength = Math.max(1, Math.floor(Math.min(MAX_BYTES, fileBytes / 2) / BLOCK_BYTES)) * BLOCK_BYTES
  }

  /** Takes the room, unless it has it or there is none. */
  async fill(): Promise<void> {
    const options = { access: 'create', direct: false, writesAreDurable: false } as const
    const content = await this.#fileSystem.readFile(this.#path)
    if (content?.byteLength === this.#byteLength) {
      this.isSpent = false
      return
    }
    await removeIfPresent(this.#fileSystem, this.#path)
    try {
      const file = await this.#fileSystem.open(this.#path, options)
      try {
        await file.write(alignedMemory(this.#byteLength), 0)
        this.isSpent = false
      } finally {
        await file.close()
      }
    } catch (error) {
      await removeIfPresent(this.#fileSystem, this.#path)
      if (!isNoRoom(error)) throw error
    }
  }

  /** Gives the room up for what `write` writes, when all that was placed before has ended. */
  async use(idle: () => Promise<void>, write: () => Promise<void>): Promise<void> {
    this.isInUse = true
    try {
      await idle()
      // Where it cannot be removed, the write finds no room once more, which is then the answer.
      this.isSpent = true
      await removeIfPresent(this.#fileSystem, this.#path).catch(() => undefined)
      await write()
    } finally {
      this.isInUse = false
    }
  }
}
