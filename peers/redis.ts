/** Redis from Debian, with every command in its append-only file on disk before it is answered. */
import { mkdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { runCommand } from './command.ts'
import { ensureProgram } from './debian.ts'
import { freePorts, ServerProcess } from './server-process.ts'

export interface RedisOptions {
  /** Folder for the append-only file; made when missing. */
  dataDir: string
}

export interface RunningRedis {
  readonly port: number
  readonly pid: number
  readonly version: string
  stop(): Promise<void>
}

const READY_TIMEOUT_MS = 20_000

export async function startRedis({ dataDir }: RedisOptions): Promise<RunningRedis> {
  await ensureProgram('redis-server', 'redis-server')
  const { stdout } = await runCommand('redis-server', ['--version'])
  await mkdir(dataDir, { recursive: true })
  const port = (await freePorts(1))[0]!
  const settings = {
    bind: '127.0.0.1',
    port: String(port),
    dir: dataDir,
    daemonize: 'no',
    save: '',
    appendonly: 'yes',
    appendfsync: 'always',
  }
  const server = await ServerProcess.start({
    name: 'Redis',
    command: 'redis-server',
    args: Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
    logFile: `${dataDir}.log`,
    isReady: () => accepts(port),
    readyTimeoutMs: READY_TIMEOUT_MS,
  })
  return {
    port,
    pid: server.pid,
    version: /v=([\d.]+)/.exec(stdout)?.[1] ?? stdout.trim(),
    stop: () => server.stop(),
  }
}

/** True when something accepts connections on that port of 127.0.0.1. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
