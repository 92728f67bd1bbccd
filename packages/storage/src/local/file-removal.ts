import { type FileSystem, removeIfPresent } from './file-system.ts'
import type { WorkShare } from './work-share.ts'

/**
 * A filesystem gives back the blocks of a file in one transaction of its journal, and everybody who waits for the
 * journal waits for that: 50 ms and more for a file of 256 MiB. So a large file shrinks step by step after its name is
 * gone, with rests between if something is appended, and what is acknowledged meanwhile waits for one step at most.
 */
export const REMOVAL_STEP_BYTES = 2 * 1024 ** 2

/** How space is given back. */
export interface RemovalPace {
  /** Where the turns of the event loop are long, `share` makes them larger: else files would come faster than they go. */
  readonly stepBytes: number
  readonly share: WorkShare
  /** Looked at before each step: somebody waits for the removal. Then a file goes as it is. */
  isHurried(): boolean
  /** Of the folder of the files. */
  syncFolder(): Promise<void>
}

export interface FileRemoval extends RemovalPace {
  readonly path: string
  readonly sizeBytes: number
}

/**
 * Removes a file of about `sizeBytes`, if it is there. Its name goes first, durably: whatever happens then, no start
 * finds a part of it. Rejects where the name cannot be removed durably; how the blocks come back does not matter.
 */
export async function removeInSteps(fileSystem: FileSystem, removal: FileRemoval): Promise<void> {
  const { path, sizeBytes, stepBytes } = removal
  const options = { access: 'write', direct: false, writesAreDurable: false } as const
  // Where it cannot be opened, it goes as it is.
  const isLarge = sizeBytes > stepBytes && !removal.isHurried()
  const file = isLarge ? await fileSystem.open(path, options).catch(() => null) : null
  try {
    await removeIfPresent(fileSystem, path)
    if (file === null) return
    await removal.syncFolder()
    await shrink(fileSystem, file, removal)
  } finally {
    // With the last one who has it open the rest of it goes, also where closing fails.
    await file?.close().catch(() => undefined)
  }
}

async function shrink(
  fileSystem: FileSystem,
  file: { truncate(sizeBytes: number): Promise<void> },
  { sizeBytes, stepBytes, share, isHurried }: FileRemoval,
): Promise<void> {
  try {
    for (let end = sizeBytes; !isHurried(); ) {
      end -= stepBytes * share.factor
      if (end <= 0) return
      const startedMs = performance.now()
      const { appends } = share
      await file.truncate(end)
      if (share.appends > appends) await fileSystem.pause(performance.now() - startedMs)
      await share.worked(stepBytes)
    }
  } catch {
    // It goes as it is.
  }
}
