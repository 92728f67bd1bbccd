/**
 * The part of a filesystem the local engine uses, as an interface, so that the engine itself runs under
 * simulated faults. Errors are the platform's own: objects with a `code` such as ENOSPC or EIO.
 */
export interface StorageFile {
  /** Bytes read into `target`; fewer than asked for only at the end of the file. */
  read(target: Uint8Array, position: number): Promise<number>
  /** Writes all of `bytes` or rejects; what a rejected write left in the file is unknown. */
  write(bytes: Uint8Array, position: number): Promise<void>
  /** Makes data and the size needed to read it back durable (fdatasync). */
  sync(): Promise<void>
  sizeBytes(): Promise<number>
  truncate(sizeBytes: number): Promise<void>
  close(): Promise<void>
}

export interface OpenOptions {
  /** `read`: must exist. `write`: must exist, for reading and writing. `create`: must not exist. */
  access: 'read' | 'write' | 'create'
  /** Past the page cache; buffers, positions and lengths must then be multiples of 4 KiB. */
  direct: boolean
  /** Each write is durable when it resolves. */
  writesAreDurable: boolean
}

export interface FolderLock {
  release(): Promise<void>
}

export interface FileSystem {
  /** Makes a folder and those above it, durably; fine when it is there already. */
  makeFolder(path: string): Promise<void>
  /** Names in a folder, in no order. */
  list(folder: string): Promise<string[]>
  open(path: string, options: OpenOptions): Promise<StorageFile>
  /** Whole content, or null when the file does not exist. */
  readFile(path: string): Promise<Uint8Array | null>
  /** Replaces a file atomically and durably: after a crash it has the old content or the new. */
  replaceFile(path: string, content: Uint8Array): Promise<void>
  rename(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
  /** Makes creations, renames and removals in the folder durable. */
  syncFolder(folder: string): Promise<void>
  /** Exclusive among all processes and this one; null when somebody else has it. Ends with the process. */
  lock(path: string): Promise<FolderLock | null>
  /** Lets what is more urgent have the disk. */
  pause(pauseMs: number): Promise<void>
}

export async function removeIfPresent(fileSystem: Pick<FileSystem, 'remove'>, path: string): Promise<void> {
  try {
    await fileSystem.remove(path)
  } catch (error) {
    if (errorCodeOf(error) !== 'ENOENT') throw error
  }
}

/** Alignment that direct I/O needs of memory, positions and lengths. */
export const DIRECT_ALIGNMENT_BYTES = 4096

/** As many files open as the process or the system may have: what needs one was not begun. */
const NO_HANDLES: readonly string[] = ['EMFILE', 'ENFILE']
/** A full disk, a full quota, a file as large as the filesystem allows. */
const NO_SPACE: readonly string[] = ['ENOSPC', 'EDQUOT', 'EFBIG']

export function isOutOfHandles(error: unknown): boolean {
  return NO_HANDLES.includes(errorCodeOf(error) ?? '')
}

/** Nothing is lost, and there may be room again later. */
export function isNoRoom(error: unknown): boolean {
  return isOutOfHandles(error) || NO_SPACE.includes(errorCodeOf(error) ?? '')
}

/** For what can be done without: throws any other error. */
export function exceptNoRoom(error: unknown): void {
  if (!isNoRoom(error)) throw error
}

export function errorCodeOf(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : undefined
}
