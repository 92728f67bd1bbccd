import { join } from 'node:path'
import { TEMPORARY_SUFFIX } from './file-replacement.ts'
import { type FileSystem, removeIfPresent } from './file-system.ts'

/**
 * What a crash may leave beside the log: an index that was being replaced, and one whose log file is removed. File
 * numbers are not given again, so nobody else would ever touch them.
 */
export async function removeLeftovers(
  fileSystem: FileSystem,
  folder: string,
  names: readonly string[],
  warn: (facts: Record<string, unknown>, message: string) => void,
): Promise<void> {
  const present = new Set(names)
  for (const name of names) {
    const isReplacement = name.endsWith(`.index${TEMPORARY_SUFFIX}`)
    const isOrphan = /^\d{20}\.index$/.test(name) && !present.has(name.replace(/index$/, 'log'))
    if (!isReplacement && !isOrphan) continue
    const file = join(folder, name)
    await removeIfPresent(fileSystem, file).catch((error: unknown) => {
      warn({ file, error: String(error) }, 'could not remove a leftover: the next start tries again')
    })
  }
}
