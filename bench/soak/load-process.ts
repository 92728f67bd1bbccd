/** A load in a process of its own, as the soak sees it. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { killAtExit } from '../../peers/command.ts'
import type { Answer, FiguresOf, Job, Order } from './jobs.ts'

const LOAD_MAIN = fileURLToPath(new URL('load-main.ts', import.meta.url))
/** Answers come within milliseconds, unless something is wrong. */
const ANSWER_TIMEOUT_MS = 60_000

export class LoadProcess<J extends Job> {
  /** Rejects when the load ends early. */
  readonly failed: Promise<never>
  readonly #child: ChildProcess
  readonly #name: string
  #isEnding = false
  #answered: ((answer: Answer) => void) | undefined

  /** It has nothing to do yet. */
  constructor(name: string) {
    const child = fork(LOAD_MAIN, [], { execArgv: ['--import', 'tsx', '--conditions=streambus-source'] })
    this.#child = child
    this.#name = name
    const forget = killAtExit(child.pid!)
    this.failed = new Promise((_, reject) => {
      child.on('message', (answer: Answer) => {
        if (answer.kind === 'failed') reject(new Error(`${name}: ${answer.reason}`))
        else this.#answered?.(answer)
      })
      child.once('exit', (exitCode, signal) => {
        forget()
        if (!this.#isEnding) reject(new Error(`${name}: the process ended (${signal ?? exitCode})`))
      })
    })
    // Whoever waits for something else at that time finds it here later.
    this.failed.catch(() => undefined)
  }

  /** Resolves when the load is at work. */
  async begin(job: J): Promise<void> {
    await this.#ask({ kind: 'begin', job })
  }

  /** What there was since the last call. */
  async figures(): Promise<FiguresOf<J>> {
    const answer = await this.#ask({ kind: 'figures' })
    return (answer as Extract<Answer, { kind: 'figures' }>).figures as FiguresOf<J>
  }

  /** Resolves when everything that was sent is answered; the process stays. */
  async stop(): Promise<void> {
    await this.#ask({ kind: 'stop' })
  }

  /** Ends the process, whatever it is at. */
  async end(): Promise<void> {
    this.#isEnding = true
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
  }

  /** One at a time: the answer is that to the last order. */
  #ask(order: Order): Promise<Answer> {
    const answered = new Promise<Answer>((resolve, reject) => {
      this.#answered = resolve
      // Without a callback it would be an event that ends the soak: the process may have ended.
      this.#child.send(order, (error) => {
        if (error !== null) reject(error)
      })
    })
    const tooLate = delay(ANSWER_TIMEOUT_MS, undefined, { ref: false }).then(() => {
      throw new Error(`${this.#name}: no answer to '${order.kind}' in ${ANSWER_TIMEOUT_MS} ms`)
    })
    return Promise.race([answered, this.failed, tooLate])
  }
}
