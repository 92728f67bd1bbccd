import { dirname } from 'node:path'
import { type FileSystem, removeIfPresent } from './file-system.ts'

type Names = Pick<FileSystem, 'open' | 'rename' | 'remove' | 'syncFolder'>

export const TEMPORARY_SUFFIX = '.tmp'

/**
 * Replaces a file atomically and durably: written under another name, synced, renamed, and the folder synced.
 * Until the rename is on disk a crash leaves the old content, from then on the new one; and when this rejects,
 * either.
 *
 * @param syncFolder where the syncs of its folder depend on each other
 */
export async function replaceFile(
  fileSystem: Names,
  path: string,
  content: Uint8Array,
  syncFolder = () => fileSystem.syncFolder(dirname(path)),
): Promise<void> {
  const temporary = `${path}${TEMPORARY_SUFFIX}`
  // A crash may have left one.
  await removeIfPresent(fileSystem, temporary)
  const options = { access: 'create', direct: false, writesAreDurable: false } as const
  const file = await fileSystem.open(temporary, options)
  try {
    try {
      await file.write(content, 0)
      await file.sync()
    } finally {
      await file.close()
    }
    await fileSystem.rename(temporary, path)
  } catch (error) {
    // On a full disk, half of it would take the room that is left. Why it failed says more than a failed removal.
    await removeIfPresent(fileSystem, temporary).catch(() => undefined)
    throw error
  }
  await syncFolder()
}
