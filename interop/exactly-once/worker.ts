/**
 * A process that copies a topic in transactions. It may be killed or end by itself at any time: whoever is asked
 * for it again continues from what was committed.
 *
 * It writes a line per transaction on standard output: `committed n` or `aborted n`, n records. It ends when its
 * standard input ends.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { killAtExit } from '../../peers/command.ts'
import type { Program } from '../java-programs.ts'

const RESTART_PAUSE_MS = 100
const STOP_TIMEOUT_MS = 20_000

export class Worker {
  readonly #program: Program
  readonly #logFile: string
  #child: ChildProcess
  #closed: Promise<void>
  #stopping = false
  committed = 0
  aborted = 0

  constructor(program: Program, logFile: string) {
    this.#program = program
    this.#logFile = logFile
    const { child, closed } = this.#start()
    this.#child = child
    this.#closed = closed
  }

  /** Killed, and started again at once. */
  async kill9(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#closed
  }

  async stop(): Promise<void> {
    this.#stopping = true
    this.#child.stdin!.end()
    const ended = await Promise.race([
      this.#closed.then(() => true),
      sleep(STOP_TIMEOUT_MS, false, { ref: false }),
    ])
    if (ended) return
    this.#child.kill('SIGKILL')
    await this.#closed
    throw new Error(`a worker did not end within ${STOP_TIMEOUT_MS} ms, see ${this.#logFile}`)
  }

  #start(): { child: ChildProcess; closed: Promise<void> } {
    const { command, args, env } = this.#program
    const log = openSync(this.#logFile, 'a')
    const child = spawn(command, [...args], { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', log] })
    closeSync(log)
    if (child.pid !== undefined) child.once('exit', killAtExit(child.pid))
    child.stdin!.on('error', () => child.stdin!.destroy())
    createInterface({ input: child.stdout! }).on('line', (line) => {
      if (line.startsWith('committed ')) this.committed++
      else if (line.startsWith('aborted ')) this.aborted++
    })
    const closed = new Promise<void>((resolve) => {
      child.once('error', () => resolve())
      child.once('close', () => resolve())
    }).then(async () => {
      if (this.#stopping) return
      await sleep(RESTART_PAUSE_MS)
      if (this.#stopping) return
      const next = this.#start()
      this.#child = next.child
      this.#closed = next.closed
    })
    return { child, closed }
  }
}
