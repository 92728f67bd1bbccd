/** A client that runs in a worker process and answers commands line by line; see node/worker.ts. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { killAtExit } from '../peers/command.ts'
import type { InteropClient } from './client.ts'
import type { ConsumeCommand, ProduceCommand, Produced, TransactCommand } from './node/worker.ts'
import type { Consumed, EveryHeaderStyle, HeaderStyle } from './records.ts'

export interface WorkerSpec {
  name: string
  version: string
  remarks: readonly string[]
  codecs: readonly string[]
  missingCodecs?: Readonly<Record<string, string>>
  everyRecord?: EveryHeaderStyle
  command: string
  args: readonly string[]
  cwd?: string
  env?: Readonly<Record<string, string>>
  /** Standard error of the worker. */
  logFile: string
}

const COMMAND_TIMEOUT_MS = 45_000
const CLOSE_TIMEOUT_MS = 5_000

interface Pending {
  resolve(answer: unknown): void
  reject(error: Error): void
}

export class WorkerClient implements InteropClient {
  readonly name: string
  readonly version: string
  readonly remarks: readonly string[]
  readonly codecs: readonly string[]
  readonly missingCodecs: Readonly<Record<string, string>>
  readonly headers: HeaderStyle = 'varied'
  readonly everyRecord: EveryHeaderStyle | undefined
  readonly endsWithBroker = null
  readonly choosesTimestamps = true
  readonly createsTopics = true
  readonly #child: ChildProcess
  readonly #pending: Pending[] = []
  #ended: Error | undefined

  constructor(spec: WorkerSpec) {
    this.name = spec.name
    this.version = spec.version
    this.remarks = spec.remarks
    this.codecs = spec.codecs
    this.missingCodecs = spec.missingCodecs ?? {}
    this.everyRecord = spec.everyRecord
    const log = openSync(spec.logFile, 'a')
    this.#child = spawn(spec.command, [...spec.args], {
      ...(spec.cwd === undefined ? {} : { cwd: spec.cwd }),
      env: { ...process.env, ...spec.env },
      stdio: ['pipe', 'pipe', log],
    })
    closeSync(log)
    if (this.#child.pid !== undefined) {
      const forget = killAtExit(this.#child.pid)
      this.#child.once('exit', forget)
    }
    const fail = (error: Error): void => {
      this.#ended = error
      for (const pending of this.#pending.splice(0)) pending.reject(error)
    }
    this.#child.once('error', fail)
    this.#child.once('exit', (code, signal) =>
      fail(
        new Error(`the worker of ${this.name} ended (${signal ?? `exit code ${code}`}), see ${spec.logFile}`),
      ),
    )
    this.#child.stdin!.on('error', fail)
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      // A client that prints to standard output must not be taken for its answer.
      if (!line.startsWith('{')) return
      this.#pending.shift()?.resolve(JSON.parse(line))
    })
  }

  async createTopic(topic: string, partitions: number): Promise<void> {
    await this.#run('create-topic', { topic, partitions })
  }

  async produce({ topic, set, from, to, codec, idempotent }: ProduceCommand): Promise<Produced> {
    const { seed, shape, headers, partitions, baseTimestampMs: base } = set
    const fields = { topic, seed, shape, headers, partitions, base, from, to, codec, idempotent }
    return (await this.#run('produce', fields)) as Produced
  }

  async consume({ topic, partition, fromOffset: from, count }: ConsumeCommand): Promise<Consumed> {
    return (await this.#run('consume', { topic, partition, from, count })) as Consumed
  }

  async offsetForTime(topic: string, partition: number, timestamp: number): Promise<number> {
    const answer = await this.#run('offset-for-time', { topic, partition, timestamp })
    return (answer as { offset: number }).offset
  }

  async transact({ topic, id, from, to, outcome, timeoutMs: timeout }: TransactCommand): Promise<void> {
    await this.#run('transact', { topic, id, from, to, outcome, timeout })
  }

  async close(): Promise<void> {
    if (this.#ended !== undefined) return
    const exited = once(this.#child, 'exit')
    this.#child.stdin!.end()
    if (await Promise.race([exited.then(() => true), sleep(CLOSE_TIMEOUT_MS, false, { ref: false })])) return
    this.#child.kill('SIGKILL')
    await exited
  }

  async #run(name: string, fields: Readonly<Record<string, unknown>>): Promise<unknown> {
    if (this.#ended !== undefined) throw this.#ended
    const words = Object.entries(fields).map(([key, value]) => `${key}=${value}`)
    const answer = new Promise<unknown>((resolve, reject) => this.#pending.push({ resolve, reject }))
    this.#child.stdin!.write(`${[name, ...words].join(' ')}\n`)
    const timer = setTimeout(() => {
      // Answers come in order, so that a worker that owes one is of no more use.
      this.#child.kill('SIGKILL')
    }, COMMAND_TIMEOUT_MS)
    try {
      const result = (await answer) as { error?: string }
      if (result.error !== undefined) throw new Error(result.error)
      return result
    } catch (error) {
      if (this.#ended === undefined || this.#child.signalCode !== 'SIGKILL') throw error
      throw new Error(`${name} not finished after ${COMMAND_TIMEOUT_MS} ms`, { cause: error })
    } finally {
      clearTimeout(timer)
    }
  }
}
