import { appendFile, cp, mkdir, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32c } from '@streambus/protocol'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { writeSample } from '../data/format/sample-folder.ts'
import { cli, ensureBuilt, startBroker, temporaryFolder } from './built-cli.ts'

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let sound: string
let copies = 0

beforeAll(async () => {
  await ensureBuilt()
  folder = await temporaryFolder()
  sound = join(folder.path, 'sound')
  await writeSample(sound)
}, 120_000)

afterAll(async () => {
  await folder[Symbol.asyncDispose]()
})

async function copy(): Promise<string> {
  const path = join(folder.path, `copy-${++copies}`)
  await cp(sound, path, { recursive: true })
  return path
}

async function flip(path: string, position: number): Promise<void> {
  const handle = await open(path, 'r+')
  const byte = new Uint8Array(1)
  await handle.read(byte, 0, 1, position)
  await handle.write(Uint8Array.of(byte[0]! ^ 0x10), 0, 1, position)
  await handle.close()
}

async function logNames(data: string, ending: string): Promise<string[]> {
  return (await readdir(join(data, 'log'))).filter((name) => name.endsWith(ending)).sort()
}

test('a sound folder is called sound, with what was read', async () => {
  const { code, stdout, stderr } = await cli(['log', 'check', sound])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toMatch(
    /10 log files, 2 segments, 9 indexes\n142 groups, 310 batches, 550 records; .* MB\/s\)\n/,
  )
  expect(stdout).toMatch(/Sound: every checksum is right/)
  const json = await cli(['log', 'check', sound, '--json'])
  expect(json.code).toBe(0)
  expect(JSON.parse(json.stdout)).toMatchObject({ isSound: true, findings: [], records: 550 })
})

test('each kind of damage is found, and ends with 1', async () => {
  const damages: [string, (data: string) => Promise<unknown>, object][] = [
    ['checkpoint', (data) => flip(join(data, 'checkpoint'), 200), { kind: 'checkpoint' }],
    [
      'header',
      async (data) => flip(join(data, 'log', (await logNames(data, '.log'))[1]!), 20),
      { kind: 'file' },
    ],
    [
      'group',
      async (data) => flip(join(data, 'log', (await logNames(data, '.log'))[1]!), 4096 + 20),
      { kind: 'group' },
    ],
    [
      'batch',
      async (data) => flip(join(data, 'log', (await logNames(data, '.log'))[1]!), 4096 + 64 + 90),
      { kind: 'batch', topic: expect.any(String), offset: expect.any(Number) },
    ],
    [
      'segment',
      async (data) => flip(join(data, 'log', (await logNames(data, '.segment'))[1]!), 4096 + 100),
      { kind: 'batch', file: expect.stringContaining('.segment') },
    ],
    [
      'segment header',
      async (data) => flip(join(data, 'log', (await logNames(data, '.segment'))[1]!), 20),
      { kind: 'segment' },
    ],
    [
      'index',
      async (data) => flip(join(data, 'log', (await logNames(data, '.index'))[0]!), 60),
      { kind: 'index' },
    ],
    [
      'segment gone',
      async (data) => rm(join(data, 'log', (await logNames(data, '.segment'))[1]!)),
      { kind: 'missing', topic: expect.any(String) },
    ],
  ]
  for (const [name, damage, finding] of damages) {
    const data = await copy()
    await damage(data)
    const json = await cli(['log', 'check', data, '--json'])
    expect(json.code, name).toBe(1)
    expect(JSON.parse(json.stdout).findings[0], name).toMatchObject(finding)
    const { code, stdout } = await cli(['log', 'check', data])
    expect(code, name).toBe(1)
    expect(stdout, name).toMatch(/^DAMAGED .*\n {2}what: .+\n {2}lost: .+\n {2}way out: .+/m)
    expect(stdout, name).not.toContain('Sound')
  }
})

test('what a crash may leave is said, and is no damage', async () => {
  const data = await copy()
  await rm(join(data, 'log', (await logNames(data, '.index'))[0]!))
  await writeFile(join(data, 'log', '00000000000000000099.segment'), 'begun')
  await appendFile(join(data, 'log', (await logNames(data, '.log')).at(-1)!), 'begun')
  const { code, stdout } = await cli(['log', 'check', data])
  expect(code).toBe(0)
  expect(stdout.match(/^note: /gm)).toHaveLength(3)
})

test('a folder in use, one that is none, and one of a newer release are one sentence each, and end with 2', async () => {
  const data = await copy()
  const broker = await startBroker(['--data', data])
  const used = await cli(['log', 'check', data])
  await broker.stop()
  expect(used).toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringMatching(/is in use by another broker/),
  })
  for (const path of [join(folder.path, 'none'), folder.path, join(data, 'checkpoint')]) {
    const none = await cli(['log', 'check', path])
    expect(none).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(/^error: .* is no data folder/),
    })
  }
  const file = join(data, 'log', (await logNames(data, '.log'))[0]!)
  const header = (await readFile(file)).subarray(0, 64)
  header.writeUInt32LE(2, 8)
  header.writeUInt32LE(crc32c(header.subarray(8, 64)), 4)
  const handle = await open(file, 'r+')
  await handle.write(header, 0, 64, 0)
  await handle.close()
  const newer = await cli(['log', 'check', data])
  expect(newer).toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringMatching(/format version 2: use the newer/),
  })
  expect((await cli(['log', 'check'])).code).toBe(2)
})

test('a folder of which a file cannot be read ends with 2: nobody knows whether it is sound', async () => {
  const data = await copy()
  const file = join(data, 'log', (await logNames(data, '.log'))[0]!)
  // A folder cannot be read as a file, not even by the superuser.
  await rm(file)
  await mkdir(file)
  const { code, stdout, stderr } = await cli(['log', 'check', data, '--json'])
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  expect(stderr).toMatch(/^error: .+\n$/)
  expect(stderr).not.toContain('unexpected')
})
