import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A folder of its own under the system's temporary folder. */
export async function makeDataFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'streambus-storage-'))
}

export async function removeDataFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true })
}
