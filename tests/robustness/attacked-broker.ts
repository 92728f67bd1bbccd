/** A broker as a process of its own, watched from outside: its memory, its log, whether it still serves. */
import { readFile } from 'node:fs/promises'
import net from 'node:net'
import { RawClient } from '../../packages/broker/src/testing/raw-client.ts'
import { batchOf, createTopic, produceBatch } from '../../packages/broker/src/testing/requests.ts'
import {
  type CliOptions,
  type CliResult,
  type RunningBroker,
  startBroker,
  temporaryFolder,
} from '../cli/built-cli.ts'

export interface LogLine {
  readonly level: string
  readonly msg: string
  readonly peer?: string
  readonly suppressedLines?: number
}

export interface AttackedBroker extends AsyncDisposable {
  readonly host: string
  readonly port: number
  readonly dataDir: string
  readonly running: RunningBroker
  /** What it has logged until now. */
  readonly log: readonly LogLine[]
  /** Resolves with the first line, past or future, that matches. Rejects when the process ends first. */
  logged(pattern: RegExp, from?: number): Promise<LogLine>
  /** Resident memory. */
  rssBytes(): Promise<number>
  connect(): Promise<RawClient>
  socket(): Promise<net.Socket>
  /** Ends it and tells how it ended. */
  stop(signal?: NodeJS.Signals): Promise<CliResult>
}

/** Starts a broker on a free port, with a data folder that is gone when the test is over. */
export async function startAttacked(
  args: readonly string[] = [],
  options: CliOptions & { dataDir?: string } = {},
): Promise<AttackedBroker> {
  const folder = await temporaryFolder()
  const dataDir = options.dataDir ?? `${folder.path}/data`
  let running: RunningBroker
  try {
    running = await startBroker(['--data', dataDir, ...args], options)
  } catch (error) {
    await folder[Symbol.asyncDispose]()
    throw error
  }
  const log: LogLine[] = []
  const waiting = new Set<() => void>()
  let partial = ''
  running.process.stderr!.on('data', (chunk) => {
    const lines = (partial + chunk).split('\n')
    partial = lines.pop()!
    for (const line of lines) log.push(JSON.parse(line))
    for (const check of waiting) check()
  })
  const ended = new Promise<void>((resolve) => running.process.on('exit', () => resolve()))
  let result: Promise<CliResult> | undefined
  const colon = running.address.lastIndexOf(':')
  const host = running.address.slice(0, colon).replace(/[[\]]/g, '')
  const port = Number(running.address.slice(colon + 1))
  const stop = (signal?: NodeJS.Signals) => {
    result ??= running.stop(signal)
    return result
  }
  return {
    host,
    port,
    dataDir,
    running,
    log,
    logged: (pattern, from = 0) =>
      new Promise((resolve, reject) => {
        const check = () => {
          const line = log.slice(from).find(({ msg }) => pattern.test(msg))
          if (line === undefined) return
          waiting.delete(check)
          resolve(line)
        }
        waiting.add(check)
        void ended.then(() => reject(new Error(`the broker ended without logging ${pattern}`)))
        check()
      }),
    rssBytes: () => rssBytesOf(running.process.pid!),
    connect: () => RawClient.connect({ host, port }),
    socket: async () => {
      const socket = net.connect(port, host)
      // A reset is one of the ways in which the broker closes.
      socket.on('error', () => {})
      await new Promise<void>((resolve) => socket.once('connect', resolve))
      return socket
    },
    stop,
    [Symbol.asyncDispose]: async () => {
      await stop('SIGKILL')
      await folder[Symbol.asyncDispose]()
    },
  }
}

async function rssBytesOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) * 1024
}

/** Somebody who behaves: produces one record after the other and checks that each is answered in order. */
export class HealthyClient {
  readonly #client: RawClient
  readonly #topic: string
  #nextOffset = 0
  #stopped = false
  #loop: Promise<void> | undefined

  private constructor(client: RawClient, topic: string) {
    this.#client = client
    this.#topic = topic
  }

  static async start(broker: AttackedBroker, topic = 'healthy'): Promise<HealthyClient> {
    const client = await broker.connect()
    await createTopic(client, topic)
    const healthy = new HealthyClient(client, topic)
    healthy.#loop = healthy.#run()
    // Whoever calls `stop` gets the failure.
    healthy.#loop.catch(() => {})
    return healthy
  }

  /** One record more; rejects when the broker does not serve it as it should. */
  async once(): Promise<void> {
    const answer = await produceBatch(this.#client, this.#topic, batchOf(['x']))
    if (answer.errorCode !== 0 || answer.baseOffset !== BigInt(this.#nextOffset)) {
      throw new Error(`error ${answer.errorCode}, offset ${answer.baseOffset}, not ${this.#nextOffset}`)
    }
    this.#nextOffset++
  }

  /** Stops the loop, makes sure that the connection is still served, and closes it. Returns the records. */
  async stop(): Promise<number> {
    this.#stopped = true
    await this.#loop
    await this.once()
    this.#client.close()
    return this.#nextOffset
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      await this.once()
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}

/** Resolves when the peer has closed the connection. */
export function closed(socket: net.Socket): Promise<void> {
  if (socket.closed) return Promise.resolve()
  socket.resume()
  return new Promise((resolve) => socket.once('close', () => resolve()))
}
