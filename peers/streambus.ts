/** Our own broker as users start it: the built command line in a process of its own. */
import { access, readFile } from 'node:fs/promises'
import { answersKafka } from './kafka-probe.ts'
import { freePorts, ServerProcess } from './server-process.ts'
import { workspaceDir } from './workspace.ts'

export interface StreambusOptions {
  dataDir: string
  durability?: 'fsync' | 'os'
  /** A free port unless given. */
  port?: number
  /** More arguments for `streambus start`. */
  args?: readonly string[]
  env?: Readonly<Record<string, string>>
  /** Arguments for Node itself, for example of a profiler. */
  nodeArgs?: readonly string[]
  /** Where everything the broker prints goes; `<dataDir>.log` unless given. */
  logFile?: string
}

export interface RunningStreambus {
  /** `127.0.0.1:port` */
  readonly bootstrap: string
  readonly port: number
  readonly pid: number
  readonly version: string
  /** From the start of the process to its first answer after the ready line. */
  readonly readyAfterMs: number
  /** False once the process has ended, whoever ended it. */
  readonly running: boolean
  stop(): Promise<void>
  kill9(): Promise<void>
  /** Starts it again on the same data and port, after `stop` or `kill9`. */
  restart(): Promise<void>
}

const READY_TIMEOUT_MS = 30_000
const packageDir = `${workspaceDir}/packages/streambus`

/** Version of the broker in this workspace. */
export async function streambusVersion(): Promise<string> {
  const manifest = JSON.parse(await readFile(`${packageDir}/package.json`, 'utf8')) as { version: string }
  return manifest.version
}

/** Needs a build (`npm run build`) to run. */
export async function startStreambus(options: StreambusOptions): Promise<RunningStreambus> {
  const entry = `${packageDir}/bin/streambus.js`
  await access(`${packageDir}/dist`).catch((cause: unknown) => {
    throw new Error('the broker is not built: run npm run build', { cause })
  })
  const port = options.port ?? (await freePorts(1))[0]!
  const logFile = options.logFile ?? `${options.dataDir}.log`
  const address = `127.0.0.1:${port}`
  const args = ['start', '--host', '127.0.0.1', '--port', String(port), '--data', options.dataDir]
  if (options.durability !== undefined) args.push('--durability', options.durability)

  const startProcess = async (): Promise<ServerProcess> => {
    const logged = (await readLog(logFile)).length
    return ServerProcess.start({
      name: 'StreamBus',
      command: process.execPath,
      args: [...(options.nodeArgs ?? []), entry, ...args, ...(options.args ?? [])],
      ...(options.env === undefined ? {} : { env: options.env }),
      logFile,
      isReady: async () =>
        (await readLog(logFile)).slice(logged).includes(address) && (await answersKafka('127.0.0.1', port)),
      readyTimeoutMs: READY_TIMEOUT_MS,
    })
  }
  let server = await startProcess()
  return {
    bootstrap: address,
    port,
    version: await streambusVersion(),
    get pid() {
      return server.pid
    },
    get readyAfterMs() {
      return server.readyAfterMs
    },
    get running() {
      return server.running
    },
    stop: () => server.stop(),
    kill9: () => server.kill9(),
    restart: async () => {
      if (server.running) throw new Error('StreamBus is running: stop or kill it before a restart')
      server = await startProcess()
    },
  }
}

async function readLog(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
}
