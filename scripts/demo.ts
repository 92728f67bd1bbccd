/**
 * Shows the main job on real input, through the command line as a user has it: a file of more than 100,000
 * lines goes in through `streambus produce` and comes back byte for byte; the broker is killed with -9 in
 * between and continues at the next offset. Says what it does and what it saw, and ends with 1 where anything
 * differs. Everything it makes lies in a temporary folder that is deleted at the end.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream, existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'

const root = join(import.meta.dirname, '..')
const cli = join(root, 'packages/streambus/bin/streambus.js')
const wantedLines = 120_000
const topic = 'lines'

let step = 0
const say = (text: string) => console.log(`\n${++step}. ${text}`)
const saw = (text: string) => console.log(`   ${text}`)

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`not so: ${what}`)
  saw(`✓ ${what}`)
}

/** This repository's own text, numbered and repeated until there are enough lines: the same at every run. */
async function realLines(): Promise<Buffer[]> {
  const sources = (await readdir(join(root, 'packages'), { recursive: true, encoding: 'utf8' }))
    .filter((file) => /\/src\/.*\.ts$/.test(file) && !file.includes('node_modules'))
    .sort()
    .map((file) => join(root, 'packages', file))
  const texts = await Promise.all(
    [join(root, 'package-lock.json'), ...sources].map((file) => readFile(file, 'utf8')),
  )
  const text = texts.join('').split('\n')
  return Array.from({ length: wantedLines }, (_, index) => {
    return Buffer.from(`${String(index).padStart(6, '0')} ${text[index % text.length]}\n`)
  })
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo
      server.close(() => resolve(port))
    })
  })
}

interface Command {
  input?: string
  output?: string
}

/** Runs a command to its end; throws where it fails. Returns what it printed. */
async function run(
  args: readonly string[],
  { input, output }: Command = {},
): Promise<{ out: string; err: string }> {
  const shown = args.map((arg) => (/[\s%\\]/.test(arg) ? `'${arg}'` : arg)).join(' ')
  saw(`$ streambus ${shown}${input ? ` < ${input}` : ''}${output ? ` > ${output}` : ''}`)
  const child = spawn(process.execPath, [cli, ...args], { stdio: 'pipe', env: process.env })
  const closed = new Promise<number | null>((resolve) => child.on('close', resolve))
  let out = ''
  let err = ''
  child.stderr.on('data', (chunk) => {
    err += chunk
  })
  const reading = output
    ? pipeline(child.stdout, createWriteStream(output))
    : (async () => {
        for await (const chunk of child.stdout) out += chunk
      })()
  if (input) await pipeline(createReadStream(input), child.stdin)
  else child.stdin.end()
  const [code] = await Promise.all([closed, reading])
  for (const line of `${out}${err}`.trim().split('\n')) if (line !== '') saw(`  ${line}`)
  if (code !== 0) throw new Error(`streambus ${args[0]} ended with ${code}`)
  return { out, err }
}

async function startBroker(port: number, data: string): Promise<ChildProcess> {
  const args = ['start', '--port', String(port), '--data', data]
  saw(`$ streambus ${args.join(' ')}`)
  const startedAtMs = performance.now()
  const broker = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let log = ''
  broker.stderr.on('data', (chunk) => {
    log += chunk
  })
  const ready = await new Promise<string>((resolve, reject) => {
    broker.stdout.once('data', (chunk) => resolve(String(chunk).trim()))
    broker.once('close', (code) => reject(new Error(`the broker ended with ${code}: ${log}`)))
  })
  saw(`  ${ready}`)
  saw(`  (process ${broker.pid}, ready after ${Math.round(performance.now() - startedAtMs)} ms)`)
  return broker
}

function ended(child: ChildProcess): Promise<unknown> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => child.once('close', resolve))
}

async function demo(folder: string, brokers: ChildProcess[]): Promise<void> {
  const original = join(folder, 'original.txt')
  const copy = join(folder, 'copy.txt')

  say("A real file: this repository's own text, with numbered lines.")
  const lines = await realLines()
  await writeFile(original, Buffer.concat(lines))
  const digest = await sha256(original)
  const bytes = lines.reduce((sum, line) => sum + line.length, 0)
  saw(`${lines.length.toLocaleString('en')} lines, ${bytes.toLocaleString('en')} bytes, sha256 ${digest}`)

  say('A broker on a free port, with an empty data folder.')
  const port = await freePort()
  const data = join(folder, 'data')
  process.env.STREAMBUS_BROKERS = `127.0.0.1:${port}`
  const first = await startBroker(port, data)
  brokers.push(first)

  say('The file goes in, a message a line.')
  const produced = JSON.parse((await run(['produce', topic, '--json'], { input: original })).out)
  check(produced.messages === lines.length, `${lines.length} messages were acknowledged`)
  const [range] = produced.partitions
  check(
    range.firstOffset === 0 && range.lastOffset === lines.length - 1,
    `at offsets 0 to ${lines.length - 1}`,
  )

  say('It comes back byte for byte.')
  await run(['consume', topic, '-o', 'beginning', '-e', '-q', '-f', '%s\\n'], { output: copy })
  const copied = await sha256(copy)
  saw(`sha256 ${copied}`)
  check(copied === digest, 'the copy is the original')

  say('Seek to the middle.')
  const middle = lines.length / 2
  const seek = ['consume', topic, '-o', String(middle), '-n', '1', '-q', '-f', '%s\\n']
  check((await run(seek)).out === lines[middle]!.toString(), `offset ${middle} holds line ${middle}`)

  say(`Kill the broker: kill -9 ${first.pid}.`)
  first.kill('SIGKILL')
  await ended(first)
  saw('It is gone, without a chance to write anything down.')

  say('Start it again on the same folder.')
  const second = await startBroker(port, data)
  brokers.push(second)

  say('It continues at the next offset.')
  const next = JSON.parse((await run(['produce', topic, '-m', 'after the crash', '--json'])).out)
  check(next.offset === lines.length, `the next message got offset ${lines.length}`)

  say('Nothing that was acknowledged is missing.')
  await run(['consume', topic, '-n', String(lines.length), '-q', '-f', '%s\\n'], { output: copy })
  check((await sha256(copy)) === digest, 'the first messages are still the original file')
  const last = await run(['consume', topic, '-o', '-1', '-e', '-q', '-f', '%o %s\\n'])
  check(last.out === `${lines.length} after the crash\n`, 'and the last one is the new one')

  say('Stop the broker with SIGTERM.')
  second.kill('SIGTERM')
  await ended(second)
  check(second.exitCode === 0, 'it ended with 0')
}

if (!existsSync(join(root, 'packages/streambus/dist/cli.js'))) {
  console.log('Building first.')
  execFileSync(process.execPath, [join(root, 'scripts/build.mjs')], { stdio: 'inherit' })
}
const folder = await mkdtemp(join(tmpdir(), 'streambus-demo-'))
const brokers: ChildProcess[] = []
try {
  await demo(folder, brokers)
  console.log('\nAll of it was so.')
} catch (error) {
  console.error(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
} finally {
  for (const broker of brokers) {
    broker.kill('SIGKILL')
    await ended(broker)
  }
  await rm(folder, { recursive: true, force: true })
}
