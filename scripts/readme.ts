/**
 * Runs the examples of the README, of docs/ERRORS.md and of docs/sdk and compares what they print: `npm run readme`, after a build.
 *
 * - `console` blocks: each line after `$ ` is run by bash in the repository, and must print, on both outputs
 *   together, exactly the lines below it; `…` at the end of a line stands for anything. A broker listens on a free port; the environment names it.
 * - `ts` blocks: each is run as a file that sees the built packages, must end without an error and print, in this
 *   order, what its comments of the form `// → text` say. All of them must compile.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

interface Example {
  readonly command: string
  readonly expected: string
}

const compilerSettings = {
  compilerOptions: {
    module: 'nodenext',
    target: 'es2023',
    types: ['node'],
    strict: true,
    skipLibCheck: true,
    noEmit: true,
  },
  include: ['*.mts'],
}
const FAILED = 'the command failed'
const sdkPages = readdirSync('docs/sdk').filter((name) => name.endsWith('.md'))
const pages = ['README.md', 'docs/ERRORS.md', ...sdkPages.map((name) => `docs/sdk/${name}`)]
const examples: Example[] = []
const scripts: { readonly name: string; readonly body: string }[] = []
for (const page of pages) {
  const blocks = readFileSync(page, 'utf8').matchAll(/^```(console|ts)\n([\s\S]*?)^```$/gm)
  for (const [, kind, body] of blocks) {
    if (kind === 'ts') {
      scripts.push({ name: `${page}: ts example ${scripts.length + 1}`, body: body! })
      continue
    }
    for (const part of body!.split(/^\$ /m).slice(1)) {
      const [command, ...expected] = part.split('\n')
      examples.push({ command: command!, expected: expected.join('\n') })
    }
  }
}

const dataDir = mkdtempSync(join(tmpdir(), 'streambus-readme-'))
const port = await freePort()
const environment = {
  ...process.env,
  // What npx has to say of this machine's npm settings is not part of an example.
  npm_config_loglevel: 'error',
  STREAMBUS_PORT: String(port),
  STREAMBUS_BROKERS: `localhost:${port}`,
  STREAMBUS_DATA: dataDir,
}
const broker = await startBroker()
let failed = 0
try {
  for (const { command, expected } of examples) {
    const printed = run('bash', ['-c', `exec 2>&1; ${command}`])
    report(`$ ${command}`, matches(printed, expected), `expected:\n${expected}printed:\n${printed}`)
  }
  const folder = '.cache/readme'
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const [index, { name, body }] of scripts.entries()) {
    const path = join(folder, `example-${index + 1}.mts`)
    writeFileSync(path, body)
    const printed = run('npx', ['tsx', path])
    const wanted = [...body.matchAll(/\/\/ → (.*)$/gm)].map(([, text]) => text)
    const missing = missingLines(printed, wanted)
    report(
      name,
      !printed.startsWith(FAILED) && missing.length === 0,
      `${printed}missing: ${missing.join('; ')}`,
    )
  }
  // Readers begin with them: they have to compile, too.
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(compilerSettings))
  const compiled = run('npx', ['tsc', '-p', folder])
  report('the ts examples compile', !compiled.startsWith(FAILED), compiled)
} finally {
  const exited = new Promise((resolve) => broker.once('exit', resolve))
  broker.kill('SIGTERM')
  await exited
  rmSync(dataDir, { recursive: true, force: true })
}
console.log(`${examples.length + scripts.length + 1 - failed} passed, ${failed} failed`)
process.exitCode = failed === 0 && examples.length > 0 ? 0 : 1

function matches(printed: string, expected: string): boolean {
  const printedLines = printed.split('\n')
  const expectedLines = expected.split('\n')
  return (
    printedLines.filter((line) => line !== '').length ===
      expectedLines.filter((line) => line !== '').length &&
    expectedLines.every((line, index) =>
      line.endsWith('…') ? printedLines[index]?.startsWith(line.slice(0, -1)) : printedLines[index] === line,
    )
  )
}

/** Those of the wanted lines that were not printed, in their order. */
function missingLines(printed: string, wanted: readonly (string | undefined)[]): (string | undefined)[] {
  const lines = printed.split('\n')
  let from = 0
  return wanted.filter((text) => {
    const at = lines.indexOf(text ?? '', from)
    if (at >= 0) from = at + 1
    return at < 0
  })
}

function report(name: string, passed: boolean, detail: string): void {
  console.log(`${passed ? 'pass' : 'FAIL'}  ${name}`)
  if (passed) return
  failed++
  console.log(detail)
}

function run(program: string, args: string[]): string {
  try {
    return execFileSync(program, args, { encoding: 'utf8', env: environment, timeout: 60_000 })
  } catch (error) {
    const { status, stdout, stderr } = error as { status: number | null; stdout: string; stderr: string }
    return `${FAILED} with ${status}:\n${stdout}${stderr}`
  }
}

async function startBroker(): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['packages/streambus/bin/streambus.js', 'start'], {
    env: environment,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve())
    child.once('exit', (code) => reject(new Error(`the broker left with ${code} before it was ready`)))
  })
  return child
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
