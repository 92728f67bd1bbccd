/**
 * The SDK without the rest, as a user installs it: `npm run client-alone`, after a build. `@streambus/client` is
 * packed and installed into an empty folder; it must bring few packages, none of which runs a script to be
 * installed, and must send and read every codec there, where the native ones are absent.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { startTestBroker } from '../packages/streambus/src/testing.ts'

const MAX_PACKAGES = 5
const TIMEOUT_MS = 120_000
const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

const PROGRAM = `
import { connect } from '@streambus/client'
const bus = await connect(process.argv[2])
for (const compression of ${JSON.stringify(CODECS)}) {
  const producer = bus.producer({ compression })
  await producer.sendBatch('codecs', Array.from({ length: 100 }, (_, n) => ({ value: compression + n })))
}
let read = 0
for await (const { value } of bus.consumer('codecs', { from: 'earliest', until: 'end' })) {
  const expected = ${JSON.stringify(CODECS)}[Math.floor(read / 100)] + (read % 100)
  if (String(value) !== expected) throw new Error(\`message \${read} is \${value}, and was \${expected}\`)
  read++
}
await bus.close()
console.log(read)
`

interface LockedPackage {
  readonly hasInstallScript?: boolean
  readonly optional?: boolean
}

const run = promisify(execFile)
const folder = mkdtempSync(join(tmpdir(), 'streambus-client-alone-'))
try {
  const app = join(folder, 'app')
  mkdirSync(app)
  await npm(process.cwd(), [
    'pack',
    '-w',
    '@streambus/protocol',
    '-w',
    '@streambus/client',
    '--pack-destination',
    folder,
  ])
  const tarballs = readdirSync(folder).filter((name) => name.endsWith('.tgz'))
  writeFileSync(join(app, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
  await npm(app, ['install', '--no-audit', '--no-fund', ...tarballs.map((name) => join(folder, name))])

  // What the lock file names and is not there is for other platforms.
  const lock = JSON.parse(readFileSync(join(app, 'package-lock.json'), 'utf8'))
  const installed = Object.entries<LockedPackage>(lock.packages).filter(
    ([path]) => path !== '' && statSync(join(app, path), { throwIfNoEntry: false }) !== undefined,
  )
  const names = installed.map(([path]) => path.replace('node_modules/', ''))
  const withScripts = installed.filter(([, { hasInstallScript }]) => hasInstallScript).map(([path]) => path)
  const mebibytes = (bytesIn(join(app, 'node_modules')) / 1024 ** 2).toFixed(1)
  console.log(`@streambus/client installs ${names.length} packages, ${mebibytes} MiB: ${names.join(', ')}`)
  if (names.length > MAX_PACKAGES) throw new Error(`it is to install no more than ${MAX_PACKAGES}`)
  if (withScripts.length > 0) throw new Error(`these run a script to be installed: ${withScripts.join(', ')}`)

  writeFileSync(join(app, 'program.js'), PROGRAM)
  await using broker = await startTestBroker()
  const { stdout } = await run(process.execPath, ['program.js', broker.address], {
    cwd: app,
    timeout: TIMEOUT_MS,
  })
  const expected = String(CODECS.length * 100)
  if (stdout.trim() !== expected) throw new Error(`it read ${stdout.trim()} messages of ${expected}`)
  console.log(`and sent and read ${expected} messages with ${CODECS.join(', ')}`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function npm(cwd: string, args: readonly string[]): Promise<void> {
  await run('npm', ['--silent', ...args], { cwd, timeout: TIMEOUT_MS, maxBuffer: 16 * 1024 * 1024 })
}

function bytesIn(path: string): number {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)
}
