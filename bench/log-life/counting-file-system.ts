/** The disk, and how many bytes were written to it. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { LocalLogStoreOptions } from '@streambus/storage'
import { nodeFileSystem } from '../../packages/storage/src/local/node-file-system.ts'

export function countingFileSystem() {
  let writtenBytes = 0
  let readBytes = 0
  const fileSystem: NonNullable<LocalLogStoreOptions['fileSystem']> = {
    ...nodeFileSystem,
    async open(path, options) {
      const file = await nodeFileSystem.open(path, options)
      return {
        async read(target, position) {
          const count = await file.read(target, position)
          readBytes += count
          return count
        },
        write: (bytes, position) => {
          writtenBytes += bytes.byteLength
          return file.write(bytes, position)
        },
        sync: () => file.sync(),
        sizeBytes: () => file.sizeBytes(),
        truncate: (sizeBytes) => file.truncate(sizeBytes),
        close: () => file.close(),
      }
    },
    async replaceFile(path, content) {
      writtenBytes += content.byteLength
      await nodeFileSystem.replaceFile(path, content)
    },
  }
  return {
    fileSystem,
    writtenBytes: () => writtenBytes,
    readBytes: () => readBytes,
    async bytesIn(folder: string): Promise<number> {
      const sizes = await Promise.all((await readdir(folder)).map((name) => stat(join(folder, name))))
      return sizes.reduce((sum, { size }) => sum + size, 0)
    },
  }
}
