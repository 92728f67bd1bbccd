import type { RemovalPace } from './file-removal.ts'
import type { LogFile } from './log-files.ts'

/** The full log files and the segments of a store, until nothing in them counts any more. */
export class FullFiles {
  readonly #files: LogFile[]
  /** A segment has taken their place since the last checkpoint: they go when a checkpoint knows it. */
  readonly #superseded = new Set<LogFile>()

  /** @param files those a start has found */
  constructor(files: readonly LogFile[]) {
    this.#files = [...files]
  }

  get all(): readonly LogFile[] {
    return this.#files
  }

  /** A log file that has become full. */
  add(file: LogFile): void {
    this.#files.push(file)
  }

  /** A segment, of which `takePlace` says to the index that it counts. */
  addSegment(segment: LogFile, takePlace: () => void): void {
    const counted = this.#files.filter(({ liveLogs }) => liveLogs > 0)
    takePlace()
    for (const file of counted) if (file.liveLogs === 0) this.#superseded.add(file)
    this.#files.push(segment)
  }

  /** What a checkpoint that is taken now knows; to be called when it is on disk. */
  beforeCheckpoint(): () => void {
    const known = [...this.#superseded]
    return () => {
      for (const file of known) this.#superseded.delete(file)
    }
  }

  /** Those that can go. A log file is needed by a start from the checkpoint as long as that does not lie behind it. */
  dead(checkpointFileNumber: number): LogFile[] {
    return this.#files.filter(
      (file) =>
        file.liveLogs === 0 &&
        (file.isSegment || file.number < checkpointFileNumber) &&
        !this.#superseded.has(file),
    )
  }

  async remove(file: LogFile, pace: RemovalPace): Promise<void> {
    await file.remove(pace)
    // Only now: what could not be removed is tried again.
    this.#files.splice(this.#files.indexOf(file), 1)
  }
}
