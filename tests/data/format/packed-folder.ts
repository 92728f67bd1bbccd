import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'

/** A data folder as text, so that it can be kept with the sources: path → gzip of the content in base64. */
export type PackedFolder = Record<string, string>

export async function pack(folder: string): Promise<PackedFolder> {
  const packed: PackedFolder = {}
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
  for (const path of paths.sort()) {
    packed[relative(folder, path)] = gzipSync(await readFile(path)).toString('base64')
  }
  return packed
}

export async function unpack(packed: PackedFolder, folder: string): Promise<void> {
  for (const [path, content] of Object.entries(packed)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), gunzipSync(Buffer.from(content, 'base64')))
  }
}
