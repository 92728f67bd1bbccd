/** Starts that must not succeed: one sentence, an exit code, and not a byte changed on disk. */
import { execFileSync } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { chmod, cp, mkdir, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import net from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cli, ensureBuilt, startBroker, temporaryFolder } from '../cli/built-cli.ts'
import { mounted } from './small-filesystem.ts'

type Folder = Awaited<ReturnType<typeof temporaryFolder>>

let folder: Folder
/** A data folder with two topics, closed cleanly, and one of a broker that was killed. */
let clean: string
let killed: string

beforeAll(async () => {
  await ensureBuilt()
  folder = await temporaryFolder()
  clean = join(folder.path, 'clean')
  killed = join(folder.path, 'killed')
  for (const [data, signal] of [
    [clean, 'SIGTERM'],
    [killed, 'SIGKILL'],
  ] as const) {
    const broker = await startBroker(['--data', data])
    for (let i = 0; i < 5; i++) {
      await cli(['produce', 'lines'], { env: broker.env, input: `line ${i}\n`.repeat(1000) })
    }
    await broker.stop(signal)
  }
}, 120_000)

afterAll(async () => {
  await folder[Symbol.asyncDispose]()
})

async function copyOf(data: string): Promise<string> {
  const copy = join(folder.path, `copy-${randomUUID()}`)
  await cp(data, copy, { recursive: true })
  return copy
}

/** Names, sizes and contents of everything below a folder; the lock file may come and go. */
async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for (const name of (await readdir(path, { recursive: true })).sort()) {
    if (name === 'lock') continue
    const file = join(path, name)
    hash.update(`${name}\n`)
    if ((await stat(file)).isFile()) hash.update(await readFile(file))
  }
  return hash.digest('hex')
}

/** Starts where a start must fail; gives the sentence. */
async function refused(args: readonly string[], env: Record<string, string> = {}, code = 1): Promise<string> {
  const result = await cli(['start', '--port', '0', ...args], { env })
  expect(result.stdout).toBe('')
  expect(result.stderr).toMatch(/^error: [^\n]+[.?]\n$/)
  expect(result.stderr).not.toMatch(/unexpected failure|undefined|\[object/)
  expect(result.code).toBe(code)
  return result.stderr
}

async function refusedUnchanged(data: string, args: readonly string[] = []): Promise<string> {
  const before = await digestOf(data)
  const sentence = await refused(['--data', data, ...args])
  expect(sentence).toContain(data)
  expect(await digestOf(data)).toBe(before)
  return sentence
}

async function overwrite(path: string, position: number, bytes: Uint8Array): Promise<void> {
  const handle = await open(path, 'r+')
  try {
    await handle.write(bytes, 0, bytes.byteLength, position)
  } finally {
    await handle.close()
  }
}

async function logFileOf(data: string): Promise<string> {
  const names = await readdir(join(data, 'log'))
  return join(data, 'log', names.filter((name) => name.endsWith('.log')).sort()[0]!)
}

/** Where the groups of a log file begin, as docs/FORMATS.md describes them. */
async function groupsOf(logFile: string): Promise<number[]> {
  const bytes = await readFile(logFile)
  const positions: number[] = []
  let position = 4096
  while (position < bytes.byteLength && bytes.toString('latin1', position, position + 4) === 'SBGR') {
    positions.push(position)
    position += bytes.readUInt32LE(position + 12)
  }
  return positions
}

test('a port in use is named, and nothing is made on disk', async () => {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as net.AddressInfo
  const data = join(folder.path, 'never')
  expect(await refused(['--data', data, '--port', String(port)])).toContain(`Port ${port}`)
  expect(await readdir(folder.path)).not.toContain('never')
  const before = await digestOf(clean)
  await refused(['--data', clean, '--port', String(port)])
  expect(await digestOf(clean)).toBe(before)
  server.close()
})

test('an address of another machine is named', async () => {
  const sentence = await refused(['--data', join(folder.path, 'never'), '--host', '192.0.2.1'])
  expect(sentence).toContain('192.0.2.1')
  expect(sentence).toContain('--host')
  expect(await refused(['--data', join(folder.path, 'never'), '--host', 'no.such.host.invalid'])).toContain(
    'no.such.host.invalid',
  )
  expect(await readdir(folder.path)).not.toContain('never')
})

test('a folder that another process has open is named, and the other one is not disturbed', async () => {
  const data = await copyOf(clean)
  const broker = await startBroker(['--data', data])
  expect(await refused(['--data', data])).toMatch(/in use by another broker/)
  const { stdout } = await cli(['consume', 'lines', '-e', '-q', '-n', '1'], { env: broker.env })
  expect(stdout).toContain('line 0')
  expect((await broker.stop()).code).toBe(0)
})

test('a folder below a file cannot be made, and a file is no folder', async () => {
  const file = join(folder.path, 'file')
  await writeFile(file, 'content')
  expect(await refused(['--data', join(file, 'data')])).toContain(file)
  expect(await refused(['--data', file])).toMatch(/file where a folder has to be .* choose another folder/)
  expect(await readFile(file, 'utf8')).toBe('content')
})

test('a read-only filesystem is named', async (context) => {
  const mount = await mounted(['-t', 'tmpfs', '-o', 'size=8m'])
  if (mount === undefined) return context.skip('mounting is not permitted here')
  await using _ = mount
  await cp(clean, join(mount.path, 'data'), { recursive: true, filter: (path) => !path.endsWith('.log') })
  await mount.remount('ro')
  expect(await refusedUnchanged(join(mount.path, 'data'))).toMatch(/cannot be written/)
  expect(await refused(['--data', join(mount.path, 'other')])).toMatch(/cannot be written/)
})

test('a folder that this user may not write is named', async (context) => {
  if (process.getuid!() === 0) {
    // Root may write everywhere: somebody else tries.
    try {
      execFileSync('setpriv', ['--reuid=65534', '--clear-groups', 'true'], { stdio: 'ignore' })
    } catch {
      return context.skip('root may write everywhere, and setpriv cannot become somebody else here')
    }
  }
  const data = join(folder.path, 'forbidden')
  await mkdir(data)
  await chmod(data, 0o555)
  await chmod(folder.path, 0o755)
  const entry = join(import.meta.dirname, '../../packages/streambus/bin/streambus.js')
  const command = [process.execPath, entry, 'start', '--port', '0', '--data', data]
  const become = process.getuid!() === 0 ? ['setpriv', '--reuid=65534', '--clear-groups'] : []
  const [program, ...args] = [...become, ...command]
  let stderr = ''
  try {
    execFileSync(program!, args, { stdio: 'pipe' })
  } catch (error) {
    ;({ stderr } = error as { stderr: string })
  }
  expect(String(stderr)).toMatch(/^error: the data folder .*forbidden cannot be written \(.*\): [^\n]+\.\n$/)
  expect(await readdir(data)).toEqual([])
})

test('a newer format is refused, of the checkpoint and of a log file', async () => {
  const data = await copyOf(clean)
  const checkpoint = join(data, 'checkpoint')
  const text = await readFile(checkpoint, 'latin1')
  await writeFile(
    checkpoint,
    text.replace(/^streambus-checkpoint \d+ /, 'streambus-checkpoint 99 '),
    'latin1',
  )
  expect(await refusedUnchanged(data)).toMatch(/format version 99.*newer release/)
})

test('a damaged checkpoint is refused', async () => {
  const data = await copyOf(clean)
  const checkpoint = join(data, 'checkpoint')
  const { size } = await stat(checkpoint)
  await overwrite(checkpoint, Math.floor(size / 2), Buffer.of(0))
  expect(await refusedUnchanged(data)).toMatch(/checkpoint is damaged/)
  await writeFile(checkpoint, '')
  expect(await refusedUnchanged(data)).toMatch(/checkpoint is damaged/)
})

test('log files without a checkpoint are refused', async () => {
  const data = await copyOf(clean)
  await rm(join(data, 'checkpoint'))
  expect(await refusedUnchanged(data)).toMatch(/no checkpoint/)
})

test('damage in the middle of a log is refused with file and position; --truncate-damaged keeps what precedes', async () => {
  const data = await copyOf(killed)
  const logFile = await logFileOf(data)
  const groups = await groupsOf(logFile)
  // The topic, and some groups of records; damaged is the one in the middle.
  expect(groups.length).toBeGreaterThan(4)
  const damaged = groups[Math.floor(groups.length / 2)]!
  await overwrite(logFile, damaged + 200, Buffer.from('damage'))
  const sentence = await refusedUnchanged(data)
  expect(sentence).toContain(logFile)
  expect(sentence).toContain('--truncate-damaged')
  expect(sentence).toMatch(/at byte \d+/)
  // Twice, as somebody does who does not believe it.
  expect(await refusedUnchanged(data)).toBe(sentence)

  const broker = await startBroker(['--data', data, '--truncate-damaged'])
  const { stdout } = await cli(['consume', 'lines', '-e', '-q', '-f', '%o\\n'], { env: broker.env })
  const offsets = stdout.trim().split('\n').map(Number)
  expect(offsets.length).toBeGreaterThan(0)
  expect(offsets.length).toBeLessThan(5000)
  expect(offsets).toEqual(offsets.map((_, index) => index))
  const produced = await cli(['produce', 'lines', '-m', 'after'], { env: broker.env })
  expect(produced.stdout).toContain(`Offset: ${offsets.length}`)
  expect((await broker.stop()).code).toBe(0)
  // Repaired for good: the next start needs no permission.
  const again = await startBroker(['--data', data])
  expect((await again.stop()).code).toBe(0)
})

test('a torn end of the log is no damage: what was acknowledged before is served', async () => {
  const data = await copyOf(killed)
  const logFile = await logFileOf(data)
  const last = (await groupsOf(logFile)).at(-1)!
  await overwrite(logFile, last + 64, Buffer.alloc(64))
  const broker = await startBroker(['--data', data])
  const { stdout } = await cli(['consume', 'lines', '-e', '-q', '-n', '1'], { env: broker.env })
  expect(stdout).toContain('line 0')
  expect((await broker.stop()).code).toBe(0)
})

test.concurrent.each([
  ['prot: 1\n', /no setting 'prot'; did you mean 'port'/],
  ['auto-create-topics: true\n', /did you mean 'autoCreateTopics'/],
  ['xyzzy: 1\n', /no setting 'xyzzy'/],
  ['port: -1\n', /port must be a whole number from 0 to 65535/],
  ['port: 1.5\n', /port must be a whole number/],
  ['autoCreateTopics: perhaps\n', /autoCreateTopics must be a boolean/],
  ['data: ""\n', /data must not be empty/],
  ['port: 1\nport: 2\n', /not valid YAML/],
  ['port: 1\n  data: x\n', /not valid YAML/],
  ['just text\n', /must hold settings/],
  [`port: ${'['.repeat(500)}\n`, /not valid YAML|cannot be understood/],
  ['a: &a [x, x]\nb: &b [*a, *a]\n', /no setting 'a'/],
])('a configuration file with %s is refused', async (content, explanation) => {
  const config = join(folder.path, `${randomUUID()}.yaml`)
  await writeFile(config, content)
  expect(await refused(['--config', config, '--data', join(folder.path, 'never')], {}, 2)).toMatch(
    explanation,
  )
})

test('a configuration file that is none is refused', async () => {
  expect(await refused(['--config', folder.path], {}, 2)).toContain(folder.path)
  const binary = join(folder.path, 'binary.yaml')
  await writeFile(binary, Buffer.from(Array.from({ length: 256 }, (_, index) => index)))
  await refused(['--config', binary], {}, 2)
})

test.concurrent.each([
  [{ STREAMBUS_PORT: 'many' }, /STREAMBUS_PORT must be a whole number/],
  [{ STREAMBUS_DURABILITY: 'never' }, /STREAMBUS_DURABILITY must be one of fsync, os/],
  [{ STREAMBUS_AUTO_CREATE_TOPICS: 'perhaps' }, /STREAMBUS_AUTO_CREATE_TOPICS must be true or false/],
  [{ STREAMBUS_CACHE_BYTES: '1' }, /STREAMBUS_CACHE_BYTES must be a whole number from 4194304/],
])('an environment with %j is refused', async (env, explanation) => {
  const result = await cli(['start', '--data', join(folder.path, 'never')], {
    env: env as Record<string, string>,
  })
  expect(result).toMatchObject({ code: 2, stdout: '' })
  expect(result.stderr).toMatch(explanation)
  expect(result.stderr).toMatch(/^error: [^\n]+\n$/)
})

test.concurrent.each([
  [['--port', '99999'], /--port must be a whole number/],
  [['--port', ''], /--port must be/],
  [['--host', ''], /--host must not be empty/],
  [['--data', ''], /--data must not be empty/],
  [['--durabilty', 'os'], /unknown option '--durabilty'[\s\S]*--durability/],
  [['--max-partitions', '0'], /--max-partitions must be/],
  [['extra'], /too many arguments/],
])('the flags %j are refused', async (args, explanation) => {
  const result = await cli(['start', ...args])
  expect(result).toMatchObject({ code: 2, stdout: '' })
  expect(result.stderr).toMatch(explanation)
  expect(result.stderr).not.toMatch(/^ +at /m)
})
