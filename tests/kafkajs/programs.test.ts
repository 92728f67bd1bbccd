import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Broker } from '@streambus/broker'
import { transform } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ensureBuilt } from '../cli/built-cli.ts'

const folder = join(import.meta.dirname, 'programs')
const copies = join(import.meta.dirname, '../../.cache/kafkajs-programs')
const programs = readdirSync(folder).filter((name) => name.endsWith('.ts'))
const running = new Set<ChildProcess>()
/** kafkajs sets timers for times that are over, which Node 24 warns of. */
const kafkajsWarning = /^\(node:\d+\) TimeoutNegativeWarning.*\n.*\n.*\n/gm

beforeAll(async () => {
  await ensureBuilt()
  mkdirSync(copies, { recursive: true })
})

afterAll(() => {
  for (const child of running) child.kill('SIGKILL')
})

/** Runs a program with the packages as they are built; resolves with the lines it printed. */
async function run(path: string, brokers: string, isDone?: (lines: string[]) => boolean): Promise<string[]> {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('NODE_'))
  const env = {
    ...Object.fromEntries(inherited),
    KAFKA_BROKERS: brokers,
    KAFKAJS_NO_PARTITIONER_WARNING: '1',
  }
  const child = spawn(process.execPath, [path], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  let output = ''
  let complaints = ''
  const lines = () => output.split('\n').slice(0, -1)
  child.stderr.on('data', (data) => {
    complaints += data
  })
  child.stdout.on('data', (data) => {
    output += data
    if (isDone?.(lines())) child.kill('SIGKILL')
  })
  await new Promise((resolve) => child.once('close', resolve))
  running.delete(child)
  expect(complaints.replace(kafkajsWarning, '')).toBe('')
  return lines()
}

/** The program as JavaScript, with nothing but its import changed. Only as CommonJS are all exports of kafkajs there. */
async function compiled(name: string, source: string, client: string): Promise<string> {
  expect(source).toContain("from 'streambus/kafkajs'")
  const adapted = source.replace("from 'streambus/kafkajs'", `from '${client}'`)
  const format = client === 'kafkajs' ? 'cjs' : 'esm'
  const { code } = await transform(adapted, { loader: 'ts', format })
  const path = join(copies, name.replace(/\.ts$/, format === 'cjs' ? '.cjs' : '.mjs'))
  writeFileSync(path, code)
  return path
}

describe.each(programs)('the program %s', (name) => {
  const source = readFileSync(join(folder, name), 'utf8')
  const expected = [...source.matchAll(/\/\/ → (.*)$/gm)].map(([, line]) => line)

  test.each(['streambus/kafkajs', 'kafkajs'])('prints what it says with %s', async (client) => {
    const broker = await Broker.start({ port: 0 })
    try {
      const path = await compiled(name, source, client)
      expect(await run(path, broker.address)).toEqual(expected)
    } finally {
      await broker.close()
    }
  })
})

test.each(['streambus/kafkajs', 'kafkajs'])(
  "the example of kafkajs's README runs with %s",
  async (client) => {
    const broker = await Broker.start({ port: 0 })
    try {
      const require = createRequire(import.meta.url)
      const readme = readFileSync(join(require.resolve('kafkajs'), '../README.md'), 'utf8')
      const [, example] = /```javascript\n([\s\S]*?)```/.exec(readme) as unknown as [string, string]
      const adapted = example
        .replace("require('kafkajs')", `require('${client}')`)
        .replace("['kafka1:9092', 'kafka2:9092']", `['${broker.address}'], logLevel: 0`)
      expect(adapted).toContain(broker.address)
      const path = join(copies, `readme-${client.replace('/', '-')}.cjs`)
      writeFileSync(path, adapted)
      const lines = await run(path, broker.address, (printed) => printed.length > 0)
      expect(lines).toEqual(["{ partition: 0, offset: '0', value: 'Hello KafkaJS user!' }"])
    } finally {
      await broker.close()
    }
  },
)
