/** The real filesystem with a quota of its own, for machines where no small one can be mounted. */
import { replaceFile } from '../../packages/storage/src/local/file-replacement.ts'
import type { FileSystem, StorageFile } from '../../packages/storage/src/local/file-system.ts'
import { nodeFileSystem } from '../../packages/storage/src/local/node-file-system.ts'

/** Every byte counts that a file reaches to. Files that were there before count when they are opened. */
export function withQuota(quotaBytes: number): FileSystem {
  const sizes = new Map<string, number>()
  const usedBytes = () => [...sizes.values()].reduce((sum, size) => sum + size, 0)
  const counted = (path: string, file: StorageFile): StorageFile => ({
    read: (target, position) => file.read(target, position),
    write: async (bytes, position) => {
      const size = sizes.get(path) ?? 0
      const end = Math.max(size, position + bytes.byteLength)
      if (usedBytes() + end - size > quotaBytes) {
        throw Object.assign(new Error(`EDQUOT: disk quota exceeded, write '${path}'`), { code: 'EDQUOT' })
      }
      sizes.set(path, end)
      await file.write(bytes, position)
    },
    sync: () => file.sync(),
    sizeBytes: () => file.sizeBytes(),
    truncate: async (sizeBytes) => {
      await file.truncate(sizeBytes)
      sizes.set(path, sizeBytes)
    },
    close: () => file.close(),
  })
  const fileSystem: FileSystem = {
    ...nodeFileSystem,
    open: async (path, options) => {
      const file = await nodeFileSystem.open(path, options)
      sizes.set(path, await file.sizeBytes())
      return counted(path, file)
    },
    replaceFile: (path, content) => replaceFile(fileSystem, path, content),
    rename: async (from, to) => {
      await nodeFileSystem.rename(from, to)
      sizes.set(to, sizes.get(from) ?? 0)
      sizes.delete(from)
    },
    remove: async (path) => {
      await nodeFileSystem.remove(path)
      sizes.delete(path)
    },
  }
  return fileSystem
}
