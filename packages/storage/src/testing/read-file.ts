import { LogFile } from '../local/log-files.ts'
import { nodeFileSystem } from '../local/node-file-system.ts'
import { ReadHandles } from '../local/read-handles.ts'

/** A full log file of so many bytes that is on no disk: what is read of it, `read` puts there. */
export function fileReadBy(
  sizeBytes: number,
  read: (target: Uint8Array, position: number) => Promise<number>,
): LogFile {
  const fileSystem = {
    ...nodeFileSystem,
    open: async () => ({
      read,
      write: () => Promise.reject(new Error('not for writing')),
      sync: () => Promise.resolve(),
      sizeBytes: () => Promise.resolve(sizeBytes),
      truncate: () => Promise.resolve(),
      close: () => Promise.resolve(),
    }),
  }
  return new LogFile(new ReadHandles(fileSystem), 'log', 1, false, sizeBytes, 0)
}
