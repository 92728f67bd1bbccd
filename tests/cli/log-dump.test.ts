import { cp, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type SampleManifest, writeSample } from '../data/format/sample-folder.ts'
import { cli, ensureBuilt, temporaryFolder } from './built-cli.ts'

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let data: string
let manifest: SampleManifest

beforeAll(async () => {
  await ensureBuilt()
  folder = await temporaryFolder()
  data = join(folder.path, 'data')
  manifest = await writeSample(data)
}, 120_000)

afterAll(async () => {
  await folder[Symbol.asyncDispose]()
})

const dump = (...args: string[]) => cli(['log', 'dump', data, ...args])
const linesOf = (stdout: string) => stdout.trim().split('\n')

interface Batch {
  type: string
  file: string
  position: number
  baseOffset: number
  lastOffset: number
  topic: string | null
  compression: string
  control: string | null
  crcIsValid: boolean
  records: { offset: number; key: string; value: string; headers: unknown[]; decoded?: { kind: string } }[]
}

async function batches(...args: string[]): Promise<Batch[]> {
  const { code, stdout, stderr } = await dump('--json', ...args)
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return linesOf(stdout)
    .map((line) => JSON.parse(line) as Batch)
    .filter(({ type }) => type === 'batch')
}

test('a partition comes in the order of its offsets, over segments and files, each batch once', async () => {
  for (const partition of [0, 1]) {
    const found = await batches('--topic', 'orders', '--partition', String(partition), '--records')
    expect(new Set(found.map(({ file }) => file.replace(/^\d+/, '')))).toEqual(new Set(['.segment', '.log']))
    const records = found.flatMap(({ records }) =>
      records.map(({ offset, key, value }) => [offset, key, value]),
    )
    expect(records).toEqual(
      manifest.partitions.find((one) => one.topic === 'orders' && one.partition === partition)!.records,
    )
    expect(found[0]).toMatchObject({ compression: partition === 1 ? 'gzip' : 'none', crcIsValid: true })
    expect(found[0]!.records[0]!.headers).toEqual([{ key: 'source', value: 'shop' }])
  }
})

test('markers say how a transaction ended, and compaction leaves holes', async () => {
  const payments = await batches('--topic', 'payments', '--partition', '1')
  expect(payments.map(({ control }) => control).slice(0, 6)).toEqual([
    null,
    'commit',
    null,
    'abort',
    null,
    'commit',
  ])
  const table = await batches('--topic', 'table')
  expect(table[0]!.file).toMatch(/segment$/)
  expect(
    table.reduce((sum, { baseOffset, lastOffset }) => sum + lastOffset - baseOffset + 1, 0),
  ).toBeLessThan(40)
})

test('--offset and --limit choose', async () => {
  const found = await batches('--topic', 'orders', '--offset', '31', '--limit', '2')
  expect(found.map(({ baseOffset }) => baseOffset)).toEqual([30, 33])
})

test('records of internal topics are shown as what they say', async () => {
  const { stdout } = await dump('--topic', '__consumer_offsets', '--partition', '9', '--records')
  expect(stdout).toMatch(
    /OffsetCommit key: {"group":"billing","topic":"orders","partition":1} value: {"offset":20,/,
  )
  const [batch] = await batches('--topic', '__consumer_offsets', '--partition', '9', '--records')
  expect(batch!.records[0]!.decoded).toMatchObject({ kind: 'OffsetCommit', value: { offset: 12 } })
})

test('a file is shown with its events, readable and bounded', async () => {
  const [file] = (await readdir(join(data, 'log'))).filter((name) => name.endsWith('.log')).sort()
  const { code, stdout } = await dump('--file', file!, '--records')
  expect(code).toBe(0)
  const lines = linesOf(stdout)
  expect(lines[0]).toBe(file)
  expect(stdout).toMatch(
    /^orders-0 baseOffset: \d+ lastOffset: \d+ count: 3 .* isTransactional: false isControl: false deleteHorizonMs: none position: \d+ CreateTime: \d+ size: \d+ compresscodec: none crc: \d+ isvalid: true$/m,
  )
  expect(stdout).toMatch(
    /^\| offset: \d+ CreateTime: \d+ key: "customer-\d" value: "order [^"]+"… \(300 bytes\) headers: {"source": "shop"}$/m,
  )
  expect(lines.at(-1)).toMatch(/^end position: \d+$/)
  const all = await dump()
  expect(all.stdout).toMatch(/^event position: \d+ {"type":"log-start-advanced"/m)
  expect(all.stdout.match(/^\d{20}\.(log|segment)$/gm)).toHaveLength(12)
})

test('a damaged file is shown as far as it can be read, and says where it cannot', async () => {
  const copy = join(folder.path, 'damaged')
  await cp(data, copy, { recursive: true })
  const names = (await readdir(join(copy, 'log'))).sort()
  const file = names.filter((name) => name.endsWith('.log'))[1]!
  const before = await batches('--file', file)
  const handle = await open(join(copy, 'log', file), 'r+')
  await handle.write(Buffer.from('damage'), 0, 6, before[3]!.position + 80)
  await handle.write(Buffer.from('damage'), 0, 6, Math.floor(before[8]!.position / 4096) * 4096 + 20)
  await handle.close()
  await rm(join(copy, 'checkpoint'))
  const { code, stdout } = await cli(['log', 'dump', copy, '--file', file, '--json', '--records'])
  expect(code).toBe(0)
  const items = linesOf(stdout).map((line) => JSON.parse(line))
  const found = items.filter(({ type }) => type === 'batch')
  expect(found.filter(({ crcIsValid }) => !crcIsValid)).toMatchObject([
    { position: before[3]!.position, records: null, fault: expect.any(String) },
  ])
  expect(items.filter(({ type }) => type === 'damage')).toMatchObject([{ position: expect.any(Number) }])
  expect(found.at(-1).position).toBe(before.at(-1)!.position)
  expect(found.length).toBeLessThan(before.length)
})

test.each([
  [['--topic', 'none'], 1, /^error: .* has no topic 'none'/],
  [
    ['--topic', 'orders', '--partition', '3'],
    1,
    /^error: topic 'orders' has no partition 3: its last one is 2/,
  ],
  [['--file', 'checkpoint'], 1, /^error: .* has no log file or segment 'checkpoint'/],
  [['--topic', 'orders', '--file', 'x'], 2, /^error: --topic and --file exclude each other/],
  [['--partition', '1'], 2, /^error: --partition needs --topic/],
  [['--limit', 'few'], 2, /^error: --limit must be a whole number from 0 on, not 'few'/],
])('wrong arguments are explained: %s', async (args, code, explanation) => {
  const result = await dump(...args)
  expect(result).toMatchObject({ code, stdout: '', stderr: expect.stringMatching(explanation) })
})
