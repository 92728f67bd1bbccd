/** A member of a group in a process of its own, and what it told so far. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, createWriteStream, openSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { killAtExit } from '../../peers/command.ts'
import type { Program } from '../java-programs.ts'
import { type GroupLog, type MemberEvent, parseEvent } from './group-log.ts'

export interface MemberProgram extends Program {
  /** Ends at the end of its standard input, or at SIGTERM. */
  readonly stopsBy: 'end of input' | 'SIGTERM'
  /** Reads a line of standard output; for programs that do not write the lines of group-log.ts themselves. */
  readonly parseOutput?: (line: string) => MemberEvent | null
  /** Reads a line of standard error. */
  readonly parseErrors?: (line: string) => MemberEvent | null
}

const STOP_TIMEOUT_MS = 20_000

/** Microseconds of the monotonic clock that the members read, too. */
export function nowUs(): number {
  return Number(process.hrtime.bigint() / 1000n)
}

export class Member {
  readonly name: string
  readonly #child: ChildProcess
  readonly #stopsBy: MemberProgram['stopsBy']
  readonly #closed: Promise<void>
  #running = true

  constructor(name: string, program: MemberProgram, log: GroupLog, logFile: string) {
    this.name = name
    this.#stopsBy = program.stopsBy
    const errors = openSync(logFile, 'a')
    const child = spawn(program.command, [...program.args], {
      env: { ...process.env, ...program.env },
      stdio: ['pipe', 'pipe', program.parseErrors === undefined ? errors : 'pipe'],
    })
    closeSync(errors)
    this.#child = child
    if (child.pid !== undefined) child.once('exit', killAtExit(child.pid))
    child.stdin!.on('error', () => child.stdin!.destroy())
    const lines = (stream: NodeJS.ReadableStream, parse: (line: string) => MemberEvent | null): void => {
      createInterface({ input: stream }).on('line', (line) => {
        const event = parse(line)
        if (event !== null) log.add(name, event)
      })
    }
    lines(child.stdout!, program.parseOutput ?? parseEvent)
    if (program.parseErrors !== undefined) {
      lines(child.stderr!, program.parseErrors)
      child.stderr!.pipe(createWriteStream(logFile, { flags: 'a' }))
    }
    this.#closed = new Promise((resolve) => {
      // `close` comes when its output has been read to the end, so that nothing it told is missed.
      child.once('close', () => {
        this.#running = false
        log.ended(name, nowUs())
        resolve()
      })
      child.once('error', () => resolve())
    })
  }

  get running(): boolean {
    return this.#running
  }

  async stop(): Promise<void> {
    if (this.#stopsBy === 'SIGTERM') this.#child.kill('SIGTERM')
    else this.#child.stdin!.end()
    const ended = await Promise.race([
      this.#closed.then(() => true),
      sleep(STOP_TIMEOUT_MS, false, { ref: false }),
    ])
    if (ended) return
    await this.kill9()
    throw new Error(`${this.name} did not leave within ${STOP_TIMEOUT_MS} ms`)
  }

  async kill9(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#closed
  }
}
