/** NATS JetStream from Debian with a file store. It answers before it syncs: its file store syncs on a timer. */
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { runCommand } from './command.ts'
import { ensureProgram } from './debian.ts'
import { accepts } from './redis.ts'
import { freePorts, ServerProcess } from './server-process.ts'

export interface NatsOptions {
  /** Folder of the file store; made when missing. */
  dataDir: string
}

export interface RunningNats {
  readonly port: number
  readonly pid: number
  readonly version: string
  /** Makes a stream in files over the subjects `<name>.*`. */
  createStream(name: string): Promise<void>
  stop(): Promise<void>
}

const READY_TIMEOUT_MS = 20_000
const ANSWER_TIMEOUT_MS = 10_000

export async function startNats({ dataDir }: NatsOptions): Promise<RunningNats> {
  await ensureProgram('nats-server', 'nats-server')
  const { stdout, stderr } = await runCommand('nats-server', ['--version'])
  await mkdir(dataDir, { recursive: true })
  const port = (await freePorts(1))[0]!
  const server = await ServerProcess.start({
    name: 'NATS',
    command: 'nats-server',
    args: ['--addr', '127.0.0.1', '--port', String(port), '--jetstream', '--store_dir', dataDir],
    logFile: `${dataDir}.log`,
    isReady: () => accepts(port),
    readyTimeoutMs: READY_TIMEOUT_MS,
  })
  return {
    port,
    pid: server.pid,
    version: /v?(\d[\d.]+)/.exec(stdout + stderr)?.[1] ?? stdout.trim(),
    createStream: (name) => createStream(port, name),
    stop: () => server.stop(),
  }
}

async function createStream(port: number, name: string): Promise<void> {
  const body = JSON.stringify({
    name,
    subjects: [`${name}.*`],
    retention: 'limits',
    storage: 'file',
    discard: 'old',
    num_replicas: 1,
    max_consumers: -1,
    max_msgs: -1,
    max_bytes: -1,
    max_age: 0,
  })
  const socket = connect({ host: '127.0.0.1', port })
  await once(socket, 'connect')
  try {
    socket.write(
      `CONNECT {"verbose":false}\r\nSUB _INBOX.create 1\r\nPUB $JS.API.STREAM.CREATE.${name} _INBOX.create ${body.length}\r\n${body}\r\n`,
    )
    let answer = ''
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS)
    while (!/MSG _INBOX\.create 1 \d+\r\n.*\r\n/.test(answer)) {
      const [chunk] = (await once(socket, 'data', { signal })) as [Buffer]
      answer += chunk.toString('latin1')
    }
    if (answer.includes('"error"')) throw new Error(`NATS refused the stream ${name}: ${answer}`)
  } finally {
    socket.destroy()
  }
}
