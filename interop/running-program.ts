/** A program in the background, with the lines it wrote so far. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { killAtExit } from '../peers/command.ts'

const TIMEOUT_MS = 40_000
const POLL_MS = 50

export class RunningProgram {
  readonly lines: string[] = []
  readonly #name: string
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown>

  constructor(name: string, command: string, args: readonly string[]) {
    this.#name = name
    const child = spawn(command, [...args], { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#child = child
    if (child.pid !== undefined) child.once('exit', killAtExit(child.pid))
    child.stdin.on('error', () => child.stdin.destroy())
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => this.lines.push(line))
    }
    this.#exited = once(child, 'close')
  }

  write(text: string): void {
    this.#child.stdin!.write(text)
  }

  /** Resolves when its lines are as wanted. */
  async until(what: string, condition: (lines: readonly string[]) => boolean): Promise<void> {
    const deadline = performance.now() + TIMEOUT_MS
    while (!condition(this.lines)) {
      if (performance.now() > deadline) {
        throw new Error(`${this.#name}: no ${what} after ${TIMEOUT_MS} ms: ${this.lines.slice(-5).join(' ')}`)
      }
      await sleep(POLL_MS)
    }
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), TIMEOUT_MS)
    this.#child.kill(signal)
    // One that waits for input sees the signal only then.
    this.#child.stdin!.end()
    await this.#exited
    clearTimeout(timer)
    if (this.#child.signalCode === 'SIGKILL' && signal !== 'SIGKILL') {
      throw new Error(`${this.#name} did not end within ${TIMEOUT_MS} ms`)
    }
  }
}
