/**
 * Apache Kafka from its jars: one node that is broker and controller (KRaft combined mode), and its
 * command-line tools. Settings are those of the `server.properties` and the start scripts that Kafka ships,
 * except where they name addresses and folders, so that figures are those of Kafka as it comes.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { type CommandOptions, type CommandResult, runCommand } from './command.ts'
import { ensureJdk } from './debian.ts'
import { answersKafka } from './kafka-probe.ts'
import { fetchJars } from './maven.ts'
import { freePorts, ServerProcess } from './server-process.ts'
import { versions } from './versions.ts'
import { cacheDir } from './workspace.ts'

export interface KafkaOptions {
  /** Holds the configuration, the logs of the server and the data. Data of an earlier start is used again. */
  dataDir: string
  version?: string
  /** Sets `log.flush.interval.messages`: 1 makes Kafka sync before it acknowledges. Kafka's default: never. */
  flushMessages?: number
  /** More of `server.properties`, by Kafka's names. */
  properties?: Readonly<Record<string, string>>
  /** More arguments of `kafka-storage format`, such as users that are there from the start. */
  formatArgs?: readonly string[]
  /** The port for clients; a free one unless given. */
  port?: number
  /** Where standard output and error go; `server.log` in the data folder unless given. */
  logFile?: string
  /** The heap of the server; 1024, as its start script says, unless given. */
  maxHeapMiB?: number
}

export interface RunningKafka {
  /** `127.0.0.1:port` */
  readonly bootstrap: string
  readonly port: number
  readonly pid: number
  readonly version: string
  readonly clusterId: string
  /** From the start of the process to its first answer; formatting the folder is not part of it. */
  readonly readyAfterMs: number
  /** False once the process has ended, whoever ended it. */
  readonly running: boolean
  stop(): Promise<void>
  kill9(): Promise<void>
  /** Starts it again on the same data and port, after `stop` or `kill9`. */
  restart(): Promise<void>
}

const READY_TIMEOUT_MS = 60_000
const DEFAULT_HEAP_MIB = 1024
const clusterId = 'c3RyZWFtYnVzLXBlZXJz'.padEnd(22, 'A')

/** What `kafka-server-start.sh` and `kafka-run-class.sh` pass to the virtual machine. */
const serverJvmOptions = [
  ...['-server', '-XX:+UseG1GC', '-XX:MaxGCPauseMillis=20'],
  ...[
    '-XX:InitiatingHeapOccupancyPercent=35',
    '-XX:+ExplicitGCInvokesConcurrent',
    '-Djava.awt.headless=true',
  ],
]

const toolJvmOptions = ['-Xmx512M', '-Djava.awt.headless=true']

/** Compiles less and shares classes: a tool that runs for a second starts in half the time. */
export const shortLivedJvmOptions = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xshare:auto']

export async function kafkaServerClassPath(version: string = versions.kafka): Promise<string> {
  return (
    await fetchJars([
      `org.apache.kafka:kafka_2.13:${version}`,
      `org.apache.logging.log4j:log4j-slf4j-impl:${versions.log4j}`,
    ])
  ).join(':')
}

export async function kafkaToolsClassPath(): Promise<string> {
  return (
    await fetchJars([
      `org.apache.kafka:kafka-tools:${versions.kafkaTools}`,
      `org.apache.kafka:kafka_2.13:${versions.kafkaTools}`,
      `org.apache.logging.log4j:log4j-slf4j-impl:${versions.log4j}`,
    ])
  ).join(':')
}

export async function startKafka(options: KafkaOptions): Promise<RunningKafka> {
  await ensureJdk()
  const version = options.version ?? versions.kafka
  const classPath = await kafkaServerClassPath(version)
  const free = await freePorts(2)
  const port = options.port ?? free[0]!
  const { dataDir } = options
  await mkdir(dataDir, { recursive: true })
  const settings: Record<string, string> = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${free[1]}`,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${free[1]}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
    'inter.broker.listener.name': 'PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
    'num.network.threads': '3',
    'num.io.threads': '8',
    'socket.send.buffer.bytes': '102400',
    'socket.receive.buffer.bytes': '102400',
    'socket.request.max.bytes': '104857600',
    'log.dirs': `${dataDir}/data`,
    'num.partitions': '1',
    'num.recovery.threads.per.data.dir': '1',
    'offsets.topic.replication.factor': '1',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'log.retention.hours': '168',
    'log.segment.bytes': '1073741824',
    'log.retention.check.interval.ms': '300000',
    ...(options.flushMessages === undefined
      ? {}
      : { 'log.flush.interval.messages': String(options.flushMessages) }),
    ...options.properties,
  }
  const propertiesFile = `${dataDir}/server.properties`
  await writeFile(
    propertiesFile,
    Object.entries(settings)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  )
  const log4j = await loggingOptions('INFO')
  const formatArgs = ['format', '--ignore-formatted', '-t', clusterId, '-c', propertiesFile]
  formatArgs.push(...(options.formatArgs ?? []))
  await runCommand('java', [
    ...shortLivedJvmOptions,
    ...log4j,
    '-cp',
    classPath,
    'kafka.tools.StorageTool',
    ...formatArgs,
  ])

  const heapMiB = options.maxHeapMiB ?? DEFAULT_HEAP_MIB
  const heap = [`-Xmx${heapMiB}M`, `-Xms${heapMiB}M`]
  const startProcess = (): Promise<ServerProcess> =>
    ServerProcess.start({
      name: `Apache Kafka ${version}`,
      command: 'java',
      args: [...heap, ...serverJvmOptions, ...log4j, '-cp', classPath, 'kafka.Kafka', propertiesFile],
      logFile: options.logFile ?? `${dataDir}/server.log`,
      isReady: () => answersKafka('127.0.0.1', port),
      readyTimeoutMs: READY_TIMEOUT_MS,
    })
  let server = await startProcess()
  return {
    bootstrap: `127.0.0.1:${port}`,
    port,
    version,
    clusterId,
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
      if (server.running) throw new Error('Apache Kafka is running: stop or kill it before a restart')
      server = await startProcess()
    },
  }
}

export interface ToolOptions extends CommandOptions {
  /** Replaces the options that make a short run short; the performance tools want `[]`. */
  jvmOptions?: readonly string[]
}

/** Runs one of Kafka's command-line tools by its main class, for example `org.apache.kafka.tools.TopicCommand`. */
export async function runTool(
  mainClass: string,
  args: readonly string[],
  options: ToolOptions = {},
): Promise<CommandResult> {
  const tool = await toolCommand(mainClass, args, options.jvmOptions)
  return runCommand(tool.command, tool.args, { name: `${mainClass} ${args.join(' ')}`, ...options })
}

/** How such a tool is started, for tools that go on until somebody stops them. */
export async function toolCommand(
  mainClass: string,
  args: readonly string[],
  jvmOptions: readonly string[] = shortLivedJvmOptions,
): Promise<{ command: string; args: string[] }> {
  await ensureJdk()
  const log4j = await loggingOptions('WARN')
  const classPath = await kafkaToolsClassPath()
  const options = [...toolJvmOptions, ...jvmOptions, ...log4j]
  return { command: 'java', args: [...options, '-cp', classPath, mainClass, ...args] }
}

/** Logs of the server go to standard output, logs of the tools to standard error, as in Kafka's own set-up. */
async function loggingOptions(level: 'INFO' | 'WARN'): Promise<string[]> {
  const file = `${cacheDir}/log4j2-${level.toLowerCase()}.properties`
  const target = level === 'INFO' ? 'SYSTEM_OUT' : 'SYSTEM_ERR'
  await mkdir(cacheDir, { recursive: true })
  await writeFile(
    file,
    [
      'appender.console.type = Console',
      'appender.console.name = console',
      `appender.console.target = ${target}`,
      'appender.console.layout.type = PatternLayout',
      'appender.console.layout.pattern = [%d] %p %m (%c)%n',
      `rootLogger.level = ${level}`,
      'rootLogger.appenderRef.console.ref = console',
    ].join('\n'),
  )
  return [`-Dlog4j2.configurationFile=${file}`]
}
