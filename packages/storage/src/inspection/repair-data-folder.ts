import { basename, join } from 'node:path'
import { emptyCheckpoint, writeCheckpoint } from '../local/checkpoint.ts'
import type { FileSystem } from '../local/file-system.ts'
import { GatheredIndex } from '../local/gathered-index.ts'
import { fileNumberOf } from '../local/log-files.ts'
import { setAside, unusedPath } from '../local/setting-aside.ts'
import { type DataFolderInspection, InspectedFile, inspectDataFolder } from './data-folder-inspection.ts'
import { indexDifference } from './index-difference.ts'
import { walkLog } from './log-walk.ts'
import { planTruncation, type TruncationPlan } from './truncation-plan.ts'

export interface Truncated {
  readonly plan: TruncationPlan
  /** Files that keep what was cut; null where it was not confirmed, and nothing was changed. */
  readonly kept: readonly string[] | null
}

/**
 * Ends the log of a data folder, with its broker stopped, before `position` in a log file, when `confirm` agrees to
 * what is lost. What is cut is kept in `….damaged` files. Throws the StorageErrors of `inspectDataFolder` and
 * `planTruncation`, with nothing changed.
 */
export function truncateDataFolder(
  dataDir: string,
  cut: { readonly file: string; readonly position: number },
  confirm: (plan: TruncationPlan) => Promise<boolean>,
  fileSystem?: FileSystem,
): Promise<Truncated> {
  return inspectDataFolder(
    dataDir,
    async (inspection) => {
      const plan = await planTruncation(inspection, cut.file, cut.position)
      if (!(await confirm(plan))) return { plan, kept: null }
      return { plan, kept: await truncate(inspection, plan) }
    },
    fileSystem,
  )
}

async function truncate(inspection: DataFolderInspection, plan: TruncationPlan): Promise<string[]> {
  const { fileSystem, folder, dataDir, storeId } = inspection
  const kept: string[] = []
  const replaceCheckpoint = async () => {
    if (!plan.needsNewCheckpoint) return
    const path = join(dataDir, 'checkpoint')
    const old = await fileSystem.readFile(path)
    if (old !== null) {
      const copy = unusedPath(new Set(await fileSystem.list(dataDir)), `${path}.damaged`)
      await fileSystem.replaceFile(copy, old)
      kept.push(copy)
    }
    // It knows nothing: the next start replays the log from its first group.
    await writeCheckpoint(fileSystem, dataDir, emptyCheckpoint(Buffer.from(storeId!).toString('base64url')))
  }
  const file = await InspectedFile.openLog(inspection, fileNumberOf(plan.file)!)
  try {
    const paths = plan.setAside.map((name) => join(folder, name))
    kept.push(...(await setAside(fileSystem, folder, file, plan.position, paths, replaceCheckpoint)))
  } finally {
    await file.close()
  }
  return kept
}

export interface RebuiltIndexes {
  readonly rebuilt: readonly string[]
  /** Beside log files that are damaged themselves: what such an index says may be all that is known. */
  readonly leftAlone: readonly string[]
}

/** Makes the indexes beside full log files again that are missing, damaged, or not what the log file has. */
export function rebuildIndexes(dataDir: string, fileSystem?: FileSystem): Promise<RebuiltIndexes> {
  return inspectDataFolder(
    dataDir,
    async (inspection) => {
      const live = new Set(inspection.checkpoint?.logs.map(([logId]) => logId))
      const rebuilt: string[] = []
      const leftAlone: string[] = []
      let index = new GatheredIndex()
      let isDamaged = false
      for await (const step of walkLog(inspection)) {
        if (step.kind === 'file') {
          index = new GatheredIndex()
          isDamaged = false
        } else if (step.kind === 'damage') isDamaged ||= step.part === 'group'
        else if (step.kind === 'group') {
          if (step.damaged.size > 0) isDamaged = true
          else for (const entry of step.group.entries) index.add(step.group, entry)
        } else if (step.kind === 'file-end' && step.end === null) {
          const path = step.file.path.replace(/\.log$/, '.index')
          const bytes = await inspection.fileSystem.readFile(path)
          const difference = bytes === null ? undefined : indexDifference(index, bytes, step.file.number)
          if (difference === null || difference?.absent?.every((logId) => !live.has(logId))) continue
          if (isDamaged) leftAlone.push(basename(path))
          else {
            await inspection.fileSystem.replaceFile(path, index.encode(step.file.number))
            rebuilt.push(basename(path))
          }
        }
      }
      return { rebuilt, leftAlone }
    },
    fileSystem,
  )
}
