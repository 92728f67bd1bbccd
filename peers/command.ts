/** Runs a program to its end, with its output collected and its time bounded. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'

export interface CommandOptions {
  /** How errors name the command; the command with its arguments unless given. */
  name?: string
  cwd?: string
  env?: Readonly<Record<string, string>>
  /** Written to standard input, which is then closed. */
  stdin?: string | Uint8Array
  /** The program is killed after this long and the command fails. */
  timeoutMs?: number
  /** Exit codes that are not failures; 0 unless given. */
  allowedExitCodes?: readonly number[]
}

export interface CommandResult {
  exitCode: number
  stdout: string
  stderr: string
  /** Standard output before it was taken for UTF-8. */
  stdoutBytes: Buffer
}

/** A program that could not be started, ran too long or ended with an exit code that was not allowed. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
  readonly code: 'NOT_STARTED' | 'TIMED_OUT' | 'FAILED'
  readonly result: CommandResult | undefined

  constructor(code: CommandError['code'], message: string, result?: CommandResult) {
    super(message)
    this.code = code
    this.result = result
  }
}

const DEFAULT_TIMEOUT_MS = 120_000
const QUOTED_OUTPUT_CHARS = 2_000

const live = new Set<number>()
process.once('exit', () => {
  for (const pid of live) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
})

/** Ends with the process that runs this: `pid` is killed when that one exits. The returned function undoes it. */
export function killAtExit(pid: number): () => void {
  live.add(pid)
  return () => live.delete(pid)
}

export async function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
  const child = spawn(command, args, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const stdout: Buffer[] = []
  const stderr: string[] = []
  child.stdout.on('data', (bytes: Buffer) => stdout.push(bytes))
  child.stderr.setEncoding('utf8').on('data', (text: string) => stderr.push(text))
  // A program that ends without reading its input breaks the pipe; its exit code tells what happened.
  child.stdin.on('error', () => child.stdin.destroy())
  const line = options.name ?? `${command} ${args.join(' ')}`
  const closed = once(child, 'close')
  if (child.pid === undefined) {
    const failure = await closed.then(
      () => undefined,
      (error: unknown) => error,
    )
    throw new CommandError('NOT_STARTED', `${command} could not be started: ${(failure as Error).message}`)
  }
  const forget = killAtExit(child.pid)
  let timedOut = false
  const timer = setTimeout(() => {
    timedOut = true
    child.kill('SIGKILL')
  }, timeoutMs)
  child.stdin.end(options.stdin)
  const [exitCode, signal] = (await closed) as [number | null, NodeJS.Signals | null]
  clearTimeout(timer)
  forget()
  const stdoutBytes = Buffer.concat(stdout)
  const result: CommandResult = {
    exitCode: exitCode ?? -1,
    stdout: stdoutBytes.toString(),
    stderr: stderr.join(''),
    stdoutBytes,
  }
  if (timedOut) {
    throw new CommandError(
      'TIMED_OUT',
      `${line}: not finished after ${timeoutMs} ms\n${tail(result)}`,
      result,
    )
  }
  if (!(options.allowedExitCodes ?? [0]).includes(result.exitCode)) {
    const ending = signal === null ? `exit code ${result.exitCode}` : `signal ${signal}`
    throw new CommandError('FAILED', `${line}: ${ending}\n${tail(result)}`, result)
  }
  return result
}

function tail(result: CommandResult): string {
  return `${result.stdout}\n${result.stderr}`.trim().slice(-QUOTED_OUTPUT_CHARS)
}
