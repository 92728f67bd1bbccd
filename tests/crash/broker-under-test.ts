/** The process that is killed: started on the same folder and port again and again. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { killAtExit } from '../../peers/command.ts'
import { answersKafka } from '../../peers/kafka-probe.ts'
import { workspaceDir } from '../../peers/workspace.ts'

const READY_TIMEOUT_MS = 30_000
const STOP_TIMEOUT_MS = 30_000
const READY_POLL_MS = 3
/** Groups are made once for each folder, and need not wait seconds for their first members. */
const INITIAL_DELAY_MS = 500
const QUOTED_LOG_CHARS = 3_000

export interface BrokerSpec {
  readonly dataDir: string
  readonly port: number
  readonly durability: 'fsync' | 'os'
  /** More arguments of `streambus start`. */
  readonly args?: readonly string[]
}

export class BrokerUnderTest {
  readonly #spec: BrokerSpec
  readonly #logFile: string
  #child: ChildProcess | undefined

  constructor(spec: BrokerSpec) {
    this.#spec = spec
    this.#logFile = `${spec.dataDir}.log`
  }

  /** Starts it and waits until it answers. Returns how long that took, in milliseconds. */
  async start(): Promise<number> {
    const startedMs = performance.now()
    const child = this.#spawn()
    while (!(await answersKafka('127.0.0.1', this.#spec.port))) {
      const ended = child.exitCode !== null || child.signalCode !== null
      if (ended || performance.now() - startedMs > READY_TIMEOUT_MS) {
        await this.kill9()
        const output = readFileSync(this.#logFile, 'utf8').slice(-QUOTED_LOG_CHARS)
        throw new Error(`the broker ${ended ? 'ended' : 'did not answer'} after a restart:\n${output}`)
      }
      await delay(READY_POLL_MS)
    }
    return performance.now() - startedMs
  }

  /** Starts it and kills it after a moment, wherever it has come by then. */
  async startAndKill(afterMs: number): Promise<void> {
    this.#spawn()
    await delay(afterMs)
    await this.kill9()
  }

  /** Asks it to end, and waits until it has. */
  async stop(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit', { signal: AbortSignal.timeout(STOP_TIMEOUT_MS) })
    child.kill('SIGTERM')
    try {
      await gone
    } catch {
      child.kill('SIGKILL')
      throw new Error(`the broker did not end within ${STOP_TIMEOUT_MS} ms of SIGTERM`)
    }
  }

  async kill9(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }

  #spawn(): ChildProcess {
    const { dataDir, port, durability, args: more = [] } = this.#spec
    const log = openSync(this.#logFile, 'a')
    const entry = `${workspaceDir}/packages/streambus/bin/streambus.js`
    const args = ['start', '--host', '127.0.0.1', '--port', String(port), '--data', dataDir]
    args.push(
      '--durability',
      durability,
      '--set',
      `group.initial.rebalance.delay.ms=${INITIAL_DELAY_MS}`,
      ...more,
    )
    const child = spawn(process.execPath, [entry, ...args], {
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    const forget = killAtExit(child.pid!)
    child.once('exit', forget)
    this.#child = child
    return child
  }
}
