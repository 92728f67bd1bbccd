/** A server as a child process: started with its output in a file, stopped within a bound, never left behind. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { killAtExit } from './command.ts'

const QUOTED_LOG_CHARS = 3_000
const READY_POLL_MS = 10

export interface ServerProcessSpec {
  name: string
  command: string
  args: readonly string[]
  env?: Readonly<Record<string, string>>
  /** Standard output and error are appended here. */
  logFile: string
  /** Asked again and again until it says true. */
  isReady: () => Promise<boolean>
  readyTimeoutMs: number
}

export class ServerProcess {
  readonly pid: number
  readonly logFile: string
  /** From the start of the process to the first time it was ready. */
  readonly readyAfterMs: number
  readonly #name: string
  readonly #child: ChildProcess

  private constructor(spec: ServerProcessSpec, child: ChildProcess, readyAfterMs: number) {
    this.#name = spec.name
    this.#child = child
    this.logFile = spec.logFile
    this.readyAfterMs = readyAfterMs
    this.pid = child.pid!
  }

  /** Resolves when the server is ready; otherwise kills it and rejects with the end of its log. */
  static async start(spec: ServerProcessSpec): Promise<ServerProcess> {
    await mkdir(dirname(spec.logFile), { recursive: true })
    const log = openSync(spec.logFile, 'a')
    const startedAt = performance.now()
    const child = spawn(spec.command, [...spec.args], {
      env: { ...process.env, ...spec.env },
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    let startError: Error | undefined
    child.once('error', (error) => {
      startError = error
    })
    if (child.pid !== undefined) {
      const forget = killAtExit(child.pid)
      child.once('exit', forget)
    }
    for (;;) {
      const ended = child.exitCode !== null || child.signalCode !== null
      const late = performance.now() - startedAt > spec.readyTimeoutMs
      if (startError !== undefined || ended || late) {
        child.kill('SIGKILL')
        const reason = startError?.message ?? (ended ? 'it ended' : `not ready in ${spec.readyTimeoutMs} ms`)
        const log = await readFile(spec.logFile, 'utf8')
        throw new Error(`${spec.name} did not start: ${reason}\n${log.slice(-QUOTED_LOG_CHARS)}`)
      }
      if (await spec.isReady()) return new ServerProcess(spec, child, performance.now() - startedAt)
      await sleep(READY_POLL_MS)
    }
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** SIGTERM, and an error if the server has not ended by itself after `timeoutMs`. */
  async stop(timeoutMs = 20_000): Promise<void> {
    if (!this.running) return
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    const ended = await Promise.race([exited.then(() => true), sleep(timeoutMs, false, { ref: false })])
    if (ended) return
    this.#child.kill('SIGKILL')
    await exited
    throw new Error(`${this.#name} ignored SIGTERM for ${timeoutMs} ms and was killed`)
  }

  /** SIGKILL: the server gets no chance to flush or say goodbye. */
  async kill9(): Promise<void> {
    if (!this.running) return
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
  }
}

/** Ports of 127.0.0.1 that were free a moment ago, for servers that cannot choose one themselves. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports: number[] = []
  for (const server of servers) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('a TCP server has no port')
    ports.push(address.port)
  }
  for (const server of servers) {
    server.close()
    await once(server, 'close')
  }
  return ports
}
