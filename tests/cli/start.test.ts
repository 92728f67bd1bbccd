import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { cli, ensureBuilt, startBroker, temporaryFolder } from './built-cli.ts'

beforeAll(ensureBuilt, 120_000)

test('the ready line names address, data folder, durability and version; the log is JSON on standard error', async () => {
  await using folder = await temporaryFolder()
  const data = `${folder.path}/data`
  const broker = await startBroker(['--data', data])
  expect(broker.readyLine).toMatch(
    /^StreamBus \d+\.\d+\.\d+ is ready on 127\.0\.0\.1:\d+ \(data: .*, durability: fsync\)$/,
  )
  expect(broker.readyLine).toContain(data)
  const { code, stdout, stderr } = await broker.stop()
  expect(code).toBe(0)
  expect(stdout).toBe(`${broker.readyLine}\n`)
  const lines = stderr
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines.map(({ msg }) => msg)).toContain('stopped')
  for (const { level, time } of lines) {
    expect(level).toBe('info')
    expect(new Date(time).toISOString()).toBe(time)
  }
})

test('--json makes the ready line an object', async () => {
  await using folder = await temporaryFolder()
  const broker = await startBroker(['--data', folder.path, '--durability', 'os', '--json'])
  expect(JSON.parse(broker.readyLine)).toMatchObject({
    event: 'ready',
    address: broker.address,
    data: folder.path,
    durability: 'os',
    pid: broker.process.pid,
  })
  expect((await broker.stop('SIGINT')).code).toBe(0)
})

test('an option wins over the environment, that over the file, that over the default', async () => {
  await using folder = await temporaryFolder()
  const config = join(folder.path, 'streambus.yaml')
  await writeFile(
    config,
    `data: ${folder.path}/file\ndurability: os\ndefaultPartitions: 3\nlogLevel: silent\n`,
  )
  const env = {
    STREAMBUS_CONFIG: config,
    STREAMBUS_DATA: `${folder.path}/env`,
    STREAMBUS_DURABILITY: 'fsync',
  }
  const broker = await startBroker(['--data', `${folder.path}/flag`, '--json'], { env })
  expect(JSON.parse(broker.readyLine)).toMatchObject({ data: `${folder.path}/flag`, durability: 'fsync' })
  await cli(['topic', 'create', 't'], { env: broker.env })
  expect((await cli(['topic', 'list'], { env: broker.env })).stdout).toMatch(/^t +3 +1$/m)
  expect((await broker.stop()).stderr).toBe('')
  expect((await readdir(folder.path)).sort()).toEqual(['flag', 'streambus.yaml'])
})

test('switches can be set in the environment, and the command line has the last word', async () => {
  await using folder = await temporaryFolder()
  const env = { STREAMBUS_AUTO_CREATE_TOPICS: 'false' }
  const without = await startBroker(['--data', `${folder.path}/a`], { env })
  expect((await cli(['produce', 't', '-m', 'x'], { env: without.env })).code).toBe(1)
  await without.stop()
  const withFlag = await startBroker(['--data', `${folder.path}/b`, '--auto-create-topics'], { env })
  expect((await cli(['produce', 't', '-m', 'x'], { env: withFlag.env })).code).toBe(0)
  await withFlag.stop()
})

test('clients are sent to the advertised address', async () => {
  await using folder = await temporaryFolder()
  const broker = await startBroker(['--data', folder.path, '--advertise', 'broker.example.com:1234'])
  const { stdout } = await cli(['status', '--json'], { env: broker.env })
  expect(JSON.parse(stdout || '{}').brokers).toMatchObject([{ host: 'broker.example.com', port: 1234 }])
  await broker.stop()
})

test('a port in use and a locked folder are one sentence, and nothing is left behind', async () => {
  await using folder = await temporaryFolder()
  const broker = await startBroker(['--data', `${folder.path}/data`])
  const port = broker.address.split(':')[1] as string
  const samePort = await cli(['start', '--port', port, '--data', `${folder.path}/other`])
  expect(samePort.code).toBe(1)
  expect(samePort.stdout).toBe('')
  expect(samePort.stderr).toMatch(/^error: .*\.\n$/)
  expect(samePort.stderr).toContain(port)
  expect(await readdir(folder.path)).toEqual(['data'])
  const sameFolder = await cli(['start', '--port', '0', '--data', `${folder.path}/data`])
  expect(sameFolder.code).toBe(1)
  expect(sameFolder.stderr).toMatch(/^error: .*\.\n$/)
  expect(sameFolder.stderr).toContain(`${folder.path}/data`)
  await broker.stop()
})

test('a data folder that is a file is refused', async () => {
  await using folder = await temporaryFolder()
  await writeFile(`${folder.path}/file`, '')
  const { code, stderr } = await cli(['start', '--port', '0', '--data', `${folder.path}/file`])
  expect(code).toBe(1)
  expect(stderr).toMatch(/^error: .*\n$/)
  expect(stderr).not.toMatch(/unexpected/)
})

test('what was acknowledged is there after kill -9, and offsets go on', async () => {
  await using folder = await temporaryFolder()
  const data = `${folder.path}/data`
  const first = await startBroker(['--data', data])
  await cli(['produce', 't'], { env: first.env, input: 'one\ntwo\n' })
  await first.stop('SIGKILL')
  const second = await startBroker(['--data', data])
  expect((await cli(['produce', 't', '-m', 'three'], { env: second.env })).stdout).toContain('Offset: 2')
  expect((await cli(['consume', 't', '-e', '-q', '-f', '%o:%s '], { env: second.env })).stdout).toBe(
    '0:one 1:two 2:three ',
  )
  await second.stop()
})

test('a broker does not load the client, and a client command not the broker', async () => {
  const dist = join(import.meta.dirname, '../../packages/streambus/dist')
  const files = await readdir(dist)
  /** Everything a bundle imports without being asked twice. */
  const reach = async (file: string, seen = new Set<string>()): Promise<string> => {
    if (seen.has(file)) return ''
    seen.add(file)
    const source = await readFile(join(dist, file), 'utf8')
    const imported = [...source.matchAll(/(?:from|import) "\.\/([^"]+)"/g)].map(([, name]) => name as string)
    return source + (await Promise.all(imported.map((name) => reach(name, seen)))).join('')
  }
  const packagesOf = async (command: string) => {
    const source = await reach(files.find((name) => name.startsWith(`${command}-`) && name.endsWith('.js'))!)
    // The bundler names the file each part came from.
    return new Set([...source.matchAll(/^\/\/ packages\/(\w+)\/src/gm)].map(([, name]) => name as string))
  }
  expect([...(await packagesOf('start'))].sort()).toEqual(['broker', 'protocol', 'storage', 'streambus'])
  for (const command of ['produce', 'consume', 'topic', 'status']) {
    expect([...(await packagesOf(command))].sort()).toEqual(['client', 'protocol', 'streambus'])
  }
})
