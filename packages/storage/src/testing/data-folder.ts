import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'

/** A folder of its own under the system's temporary folder. */
export async function makeDataFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'streambus-storage-'))
}

export async function removeDataFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true })
}

/** A copy of a folder as it is now, as if the machine had stopped at this moment. */
export async function copyDataFolder(path: string): Promise<string> {
  const copy = await makeDataFolder()
  await cp(path, copy, { recursive: true })
  return copy
}

/** Every file below a folder with its content, to see whether anything was changed. */
export async function contentsOf(path: string): Promise<Map<string, string>> {
  const contents = new Map<string, string>()
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const file = join(entry.parentPath, entry.name)
    contents.set(relative(path, file), (await readFile(file)).toString('base64'))
  }
  return contents
}
