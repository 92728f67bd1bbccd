import { cp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { decodeRecords, encodeRecordBatch } from '@streambus/protocol'
import { LocalLogStore } from '@streambus/storage'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { contentsOf } from '../../packages/storage/src/testing/data-folder.ts'
import { writeSample } from '../data/format/sample-folder.ts'
import { cli, ensureBuilt, temporaryFolder } from './built-cli.ts'

const RECORDS = 58
/** Of these, what is written behind the checkpoint. */
const LAST_RECORDS = 6
let folder: Awaited<ReturnType<typeof temporaryFolder>>
/** As a crash left it, and closed cleanly; no file of it is gone. */
let crashed: string
let closed: string
let copies = 0

beforeAll(async () => {
  await ensureBuilt()
  folder = await temporaryFolder()
  closed = join(folder.path, 'closed')
  crashed = join(folder.path, 'crashed')
  const store = await LocalLogStore.open({ dataDir: closed, fileBytes: 128 * 1024, prepareFiles: 'never' })
  const { logs } = await store.createTopic({ name: 'words', partitions: 2 })
  for (let index = 0; index < RECORDS; index++) {
    if (index === RECORDS - LAST_RECORDS) {
      await store.createTopic({ name: 'late', partitions: 1 })
      // The checkpoint of the last full file is written when this is done.
      await store.maintain({ maxBytes: 0 })
    }
    const bytes = encodeRecordBatch([{ value: `v${index}`.padEnd(5_000, '.'), timestamp: 1000 }])
    const [result] = await store.append([{ logId: logs[index % 2]!, bytes }])
    if (result?.error !== null) throw result?.error ?? new Error('no result')
  }
  await cp(closed, crashed, { recursive: true })
  await store.close()
}, 120_000)

afterAll(async () => {
  await folder[Symbol.asyncDispose]()
})

async function copyOf(path: string): Promise<string> {
  const copy = join(folder.path, `copy-${++copies}`)
  await cp(path, copy, { recursive: true })
  return copy
}

async function damage(path: string, position: number): Promise<void> {
  const handle = await open(path, 'r+')
  await handle.write(Buffer.from('damage'), 0, 6, position)
  await handle.close()
}

async function logNames(data: string): Promise<string[]> {
  return (await readdir(join(data, 'log'))).filter((name) => name.endsWith('.log')).sort()
}

/** Damages the group of a batch of a file, and its index; gives the place that `log check` says to cut at. */
async function damaged(data: string, name: string, batch: number): Promise<string> {
  await rm(join(data, 'log', name.replace('.log', '.index')), { force: true })
  const { stdout } = await cli(['log', 'dump', data, '--file', name, '--json'])
  const batches = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const { position } = batches.filter(({ type }) => type === 'batch').at(batch)
  await damage(join(data, 'log', name), Math.floor(position / 4096) * 4096 + 16)
  const check = await cli(['log', 'check', data, '--json'])
  expect(check.code).toBe(1)
  const place = /--truncate-at (\S+?)`/.exec(JSON.parse(check.stdout).findings[0].wayOut)
  return place![1]!
}

/** First values of each partition, up to the end of the log. */
async function valuesIn(data: string): Promise<string[][]> {
  const store = await LocalLogStore.open({ dataDir: data, fileBytes: 128 * 1024 })
  try {
    const found: string[][] = []
    for (const logId of store.topics.byName('words')!.logs) {
      const values: string[] = []
      for (let offset = 0; ; offset++) {
        const [result] = await store.read([{ logId, offset, maxBytes: 1 }], { maxBytes: 1 })
        if (result?.error !== null) throw result?.error ?? new Error('no result')
        const bytes = new Uint8Array(result.records.byteLength)
        if (bytes.byteLength > 0) await result.records.readInto(bytes)
        result.records.close()
        if (bytes.byteLength === 0) break
        for (const { value } of decodeRecords(bytes)) {
          values.push(Buffer.from(value!).toString().replace(/\.+$/, ''))
        }
      }
      found.push(values)
    }
    return found
  } finally {
    await store.close()
  }
}

const expected = (counts: readonly number[]) =>
  counts.map((count, partition) => Array.from({ length: count }, (_, index) => `v${index * 2 + partition}`))

test.each(['crashed', 'closed'])(
  'a damaged end of a folder that was %s is cut, and all of it is kept',
  async (kind) => {
    const data = await copyOf(kind === 'crashed' ? crashed : closed)
    const names = await logNames(data)
    const name = names.at(-2)!
    const place = await damaged(data, name, 2)
    await expect(LocalLogStore.open({ dataDir: data })).rejects.toThrow('streambus log')
    const before = await contentsOf(data)

    const asked = await cli(['log', 'repair', data, '--truncate-at', place])
    expect(asked).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('needs --yes') })
    expect(asked.stderr).toMatch(/^words +0 +\d+ +28 +\d+ /m)
    expect(await contentsOf(data)).toEqual(before)

    const { code, stdout } = await cli(['log', 'repair', data, '--truncate-at', place, '--yes', '--json'])
    expect(code).toBe(0)
    const plan = JSON.parse(stdout)
    expect(plan.lost.slice(0, 2)).toMatchObject([
      { topic: 'words', partition: 0, endOffset: 29 },
      { topic: 'words', partition: 1, endOffset: 29 },
    ])
    expect(plan.changes).toMatchObject([{ type: 'topic-created', name: 'late' }])
    expect(plan.unreadableBytes).toBeGreaterThan(0)
    expect(plan.needsNewCheckpoint).toBe(true)
    const check = await cli(['log', 'check', data, '--json'])
    expect(JSON.parse(check.stdout).findings).toEqual([])
    expect(await valuesIn(data)).toEqual(
      expected(plan.lost.slice(0, 2).map((one: { firstOffset: number }) => one.firstOffset)),
    )

    const position = Number(place.split(':')[1])
    const original = Buffer.from(before.get(join('log', name))!, 'base64')
    const kept = await readFile(join(data, 'log', `${name}.from-${position}.damaged`))
    expect(kept.equals(original.subarray(position))).toBe(true)
    const last = names.at(-1)!
    expect((await readFile(join(data, 'log', `${last}.damaged`))).toString('base64')).toBe(
      before.get(join('log', last)),
    )
    expect((await readFile(join(data, 'checkpoint.damaged'))).toString('base64')).toBe(
      before.get('checkpoint'),
    )
  },
)

test('a cut after the checkpoint keeps the checkpoint', async () => {
  const data = await copyOf(crashed)
  const name = (await logNames(data)).at(-1)!
  const checkpoint = await readFile(join(data, 'checkpoint'))
  const place = await damaged(data, name, -3)
  const { code, stdout } = await cli(['log', 'repair', data, '--truncate-at', place, '--yes'])
  expect(code).toBe(0)
  expect(stdout).toMatch(/records? in 2 partitions are lost:\n.*Topic +Partition/)
  expect(stdout).not.toContain('reads the whole log')
  expect(await readFile(join(data, 'checkpoint'))).toEqual(checkpoint)
  expect((await cli(['log', 'check', data])).code).toBe(0)
  const [first] = await valuesIn(data)
  expect(first!.length).toBeGreaterThan(20)
  expect(first!.length).toBeLessThan(29)
})

test('a damaged checkpoint is made again where every log file is there, and no record is lost', async () => {
  const data = await copyOf(closed)
  await damage(join(data, 'checkpoint'), 100)
  const check = await cli(['log', 'check', data, '--json'])
  const [finding] = JSON.parse(check.stdout).findings
  const place = /--truncate-at (\S+?)`/.exec(finding.wayOut)![1]!
  const repaired = await cli(['log', 'repair', data, '--truncate-at', place, '--yes'])
  expect(repaired).toMatchObject({ code: 0, stderr: '' })
  expect(repaired.stdout).toContain('No record is lost')
  expect(await valuesIn(data)).toEqual(expected([29, 29]))
})

test('a whole file can be cut off', async () => {
  const data = await copyOf(crashed)
  const name = (await logNames(data)).at(-1)!
  expect((await cli(['log', 'repair', data, '--truncate-at', `${name}:0`, '--yes'])).code).toBe(0)
  expect(await logNames(data)).not.toContain(name)
  expect((await valuesIn(data))[0]!.length).toBeGreaterThan(15)
})

test('what cannot be repaired is refused with the reason, and nothing is changed', async () => {
  const sample = join(folder.path, 'sample')
  await writeSample(sample)
  const [name] = await logNames(sample)
  const two = await copyOf(crashed)
  const last = (await logNames(two)).at(-1)!
  const place = await damaged(two, last, -3)
  const end = (await readFile(join(two, 'log', last))).byteLength
  for (const [data, cut, reason] of [
    [sample, `${name}:4096`, /can only be made from all log files since the first: 0+1\.log is gone/],
    [two, `${last}:8191`, /no group begins at byte 8191 of .* is byte 4096/],
    [two, `${last}:${end}`, new RegExp(`${place.split(':')[0]} is damaged at byte .* already`)],
    [two, 'none.log:4096', /has no log file 'none.log'/],
    [two, '00000000000000000001.log:0', /nothing of the log would be left/],
  ] as const) {
    const before = await contentsOf(data)
    const { code, stdout, stderr } = await cli(['log', 'repair', data, '--truncate-at', cut, '--yes'])
    expect({ code, stdout }, cut).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(reason)
    expect(await contentsOf(data)).toEqual(before)
  }
  for (const args of [[], ['--truncate-at', 'x'], ['--truncate-at', 'x:1', '--indexes']]) {
    expect((await cli(['log', 'repair', two, ...args])).code).toBe(2)
  }
})

test('indexes are made again from their log files, and left alone where these are damaged', async () => {
  const data = await copyOf(closed)
  const indexes = (await readdir(join(data, 'log'))).filter((name) => name.endsWith('.index')).sort()
  const [missing, wrong] = indexes.map((name) => join(data, 'log', name)) as [string, string]
  const before = await contentsOf(data)
  await rm(missing)
  await damage(wrong, 40)
  expect((await cli(['log', 'check', data])).code).toBe(1)
  const { code, stdout } = await cli(['log', 'repair', data, '--indexes'])
  expect(code).toBe(0)
  expect(stdout.match(/made again\.$/gm)).toHaveLength(2)
  expect(await contentsOf(data)).toEqual(before)
  expect((await cli(['log', 'repair', data, '--indexes'])).stdout).toBe('No index had to be made again.\n')
  await damage(wrong.replace('.index', '.log'), 4096 + 64 + 80)
  await writeFile(wrong, 'wrong')
  expect((await cli(['log', 'repair', data, '--indexes', '--json'])).stdout).toContain('"rebuilt": []')
  expect(await readFile(wrong, 'utf8')).toBe('wrong')
})

test('every command about logs has help with examples', async () => {
  for (const command of [[], ['check'], ['dump'], ['repair']]) {
    const { code, stdout, stderr } = await cli(['log', ...command, '--help'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain('Examples:\n  $ streambus log')
  }
})
