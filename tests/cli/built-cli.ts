/** Builds the command line where its sources are newer, and runs it as users do: as a process. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, rmdirSync, statSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')
const entry = join(root, 'packages/streambus/bin/streambus.js')
const built = join(root, 'packages/streambus/dist/cli.js')
const lock = join(root, 'node_modules/.streambus-build-lock')
/** A lock older than this was left behind by a build that was killed. */
const staleLockMs = 120_000

/** Test files run in parallel: one of them builds, the others wait for it. */
export async function ensureBuilt(): Promise<void> {
  while (!isFresh()) {
    try {
      mkdirSync(lock)
    } catch {
      if (ageMs(lock) > staleLockMs) rmdirSync(lock)
      await new Promise((resolve) => setTimeout(resolve, 200))
      continue
    }
    try {
      execFileSync(process.execPath, [join(root, 'scripts/build.mjs')], { stdio: 'inherit' })
    } finally {
      rmdirSync(lock)
    }
  }
}

function ageMs(path: string): number {
  const modifiedMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs
  return modifiedMs === undefined ? 0 : Date.now() - modifiedMs
}

function isFresh(): boolean {
  const builtMs = statSync(built, { throwIfNoEntry: false })?.mtimeMs ?? 0
  const sources = readdirSync(join(root, 'packages'), { withFileTypes: true })
    .filter((one) => one.isDirectory())
    .flatMap(({ name }) => {
      const folder = join(root, 'packages', name, 'src')
      return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file))
    })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
  return sources.every((file) => statSync(file).mtimeMs <= builtMs)
}

export interface CliResult {
  code: number | null
  stdout: string
  stderr: string
  /** The bytes of standard output, where text will not do. */
  bytes: Buffer
}

export interface CliOptions {
  input?: string | Buffer
  env?: Readonly<Record<string, string>>
}

/** What a user's shell has set must not decide a test. */
function environment(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(STREAMBUS_|NO_COLOR|NODE_)/.test(name))
  return { ...Object.fromEntries(inherited), ...extra }
}

/** What runs a command, for those who start it in another way. */
export function cliCommand(args: readonly string[]): { command: string[]; env: NodeJS.ProcessEnv } {
  return { command: [process.execPath, entry, ...args], env: environment() }
}

export function spawnCli(args: readonly string[], options: CliOptions = {}): ChildProcess {
  return spawn(process.execPath, [entry, ...args], { env: environment(options.env), stdio: 'pipe' })
}

/** Runs a command to its end. */
export async function cli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const child = spawnCli(args, options)
  child.stdin!.on('error', () => {})
  child.stdin!.end(options.input ?? '')
  return await resultOf(child)
}

export function resultOf(child: ChildProcess): Promise<CliResult> {
  const out: Buffer[] = []
  const err: Buffer[] = []
  child.stdout!.on('data', (chunk) => out.push(chunk))
  child.stderr!.on('data', (chunk) => err.push(chunk))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => {
      const bytes = Buffer.concat(out)
      resolve({ code, bytes, stdout: bytes.toString(), stderr: Buffer.concat(err).toString() })
    })
  })
}

export interface RunningBroker {
  readonly address: string
  /** The line that said it was ready. */
  readonly readyLine: string
  readonly process: ChildProcess
  readonly env: { STREAMBUS_BROKERS: string }
  /** Ends it and waits. Default SIGTERM. */
  stop(signal?: NodeJS.Signals): Promise<CliResult>
}

/** Starts a broker on a free port and waits for its ready line. */
export async function startBroker(args: readonly string[], options: CliOptions = {}): Promise<RunningBroker> {
  const child = spawnCli(['start', '--port', '0', ...args], options)
  const result = resultOf(child)
  const readyLine = await new Promise<string>((resolve, reject) => {
    let out = ''
    child.stdout!.on('data', (chunk) => {
      out += chunk
      if (out.includes('\n')) resolve(out.slice(0, out.indexOf('\n')))
    })
    void result.then(({ code, stderr }) => reject(new Error(`the broker ended with ${code}: ${stderr}`)))
  })
  const address = /(?:[\d.]+|\[[\da-f:]+\]|localhost):\d+(?=[ "])/.exec(readyLine)?.[0] ?? ''
  return {
    address,
    readyLine,
    process: child,
    env: { STREAMBUS_BROKERS: address },
    stop: (signal = 'SIGTERM') => {
      child.kill(signal)
      return result
    },
  }
}

/** A folder that is gone when the test is over. */
export async function temporaryFolder(): Promise<{ path: string; [Symbol.asyncDispose](): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'streambus-cli-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}
