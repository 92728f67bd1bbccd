/**
 * Writes the sample of this version's format: `npx tsx --conditions=streambus-source tests/data/format/write-sample.ts
 * NAME`, with a name no sample has yet. What older versions wrote stays as it is, for good.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pack } from './packed-folder.ts'
import { writeSample } from './sample-folder.ts'

const name = process.argv[2]
if (name === undefined || !/^[a-z0-9-]+$/.test(name))
  throw new Error('the sample needs a name, such as checkpoint-3')
const target = join(import.meta.dirname, name)
// Fails where it exists.
await mkdir(target)
const folder = await mkdtemp(join(tmpdir(), 'streambus-sample-'))
const manifest = await writeSample(folder)
await writeFile(join(target, 'folder.json'), `${JSON.stringify(await pack(folder), null, 2)}\n`)
await writeFile(join(target, 'manifest.json'), `${JSON.stringify(manifest)}\n`)
await rm(folder, { recursive: true })
