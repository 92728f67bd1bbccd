import { basename } from 'node:path'
import type { FileSystem } from './file-system.ts'
import type { GroupScan } from './group-scan.ts'

/** A name that is free in the folder: the path itself, or with a number behind it. */
export function unusedPath(names: ReadonlySet<string>, path: string): string {
  let name = path
  for (let copy = 2; names.has(basename(name)); copy++) name = `${path}.${copy}`
  return name
}

/**
 * Ends a log file at `position`: copies what follows to a `….damaged` file beside it, renames later files so that they
 * end in `.damaged`, and only then truncates. Nothing is destroyed. After a crash on the way the log is as long as it
 * was, or a start refuses because later files are missing, and it can be done again.
 *
 * @param beforeTruncating run when the copies are durable
 * @returns the paths of what was set aside
 */
export async function setAside(
  fileSystem: FileSystem,
  folder: string,
  file: { readonly path: string; readonly scan: GroupScan },
  position: number,
  laterPaths: readonly string[],
  beforeTruncating?: () => Promise<void>,
): Promise<string[]> {
  const names = new Set(await fileSystem.list(folder))
  const path = unusedPath(names, `${file.path}.from-${position}.damaged`)
  const kept = [path]
  const copy = await fileSystem.open(path, { access: 'create', direct: false, writesAreDurable: false })
  try {
    let written = 0
    for (;;) {
      const bytes = await file.scan.bytesAt(position + written, 1024 ** 2)
      if (bytes.byteLength === 0) break
      await copy.write(bytes, written)
      written += bytes.byteLength
    }
    await copy.sync()
  } finally {
    await copy.close()
  }
  for (const laterPath of laterPaths) {
    const laterKept = unusedPath(names, `${laterPath}.damaged`)
    await fileSystem.rename(laterPath, laterKept)
    kept.push(laterKept)
  }
  await fileSystem.syncFolder(folder)
  await beforeTruncating?.()
  // The damaged blocks must not be found again by the next start.
  const handle = await fileSystem.open(file.path, { access: 'write', direct: false, writesAreDurable: false })
  try {
    await handle.truncate(position)
    await handle.sync()
  } finally {
    await handle.close()
  }
  return kept
}
