import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Broker } from '@streambus/broker'
import { connect, deadLetterHeaders } from '@streambus/client'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
const page = readFileSync(join(root, 'docs/sdk/consuming.md'), 'utf8')
const examples = [...page.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code as string)
const run = promisify(execFile)

test('the page has the headers of dead letters, each once and in their order', () => {
  const documented = [...page.matchAll(/^\| `(streambus-dlq-[a-z]+)` \|/gm)].map(([, name]) => name)
  expect(documented.sort()).toEqual(Object.values(deadLetterHeaders).sort())
})

test('each example of the page runs to its end, and the types of all of them are right', async () => {
  await using broker = await Broker.start({ port: 0 })
  await using bus = await connect(broker.address)
  await bus.admin.createTopic('orders', { partitions: 2 })
  for (let id = 0; id < 10; id++) await bus.producer().send('orders', { id }, { key: `customer-${id}` })
  const folder = join(root, '.cache/consuming')
  mkdirSync(folder, { recursive: true })
  const files = examples.map((code, index) => {
    const file = join(folder, `example-${index + 1}.ts`)
    writeFileSync(file, code.replaceAll("'localhost:9092'", `'${broker.address}'`))
    return file
  })
  expect(files.length).toBeGreaterThan(5)
  const config = join(folder, 'tsconfig.json')
  writeFileSync(config, JSON.stringify({ extends: '../../tsconfig.json', include: ['*.ts'] }))
  await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', config, '--noEmit'])
  const tsx = join(root, 'node_modules/tsx/dist/cli.mjs')
  for (const file of files) {
    const { stdout } = await run(process.execPath, [tsx, '--conditions=streambus-source', file])
    expect(stdout).not.toBe('')
  }
}, 120_000)
