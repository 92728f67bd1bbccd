/** kafkajs and @platformatic/kafka, installed from npm into the cache, never into the workspace. */
import { fileURLToPath } from 'node:url'
import { installNpmPackages } from '../peers/npm.ts'
import { versions } from '../peers/versions.ts'
import { cacheDir } from '../peers/workspace.ts'
import { allCodecs, type ClientSource } from './client.ts'
import type { Program } from './java-programs.ts'
import type { EveryHeaderStyle } from './records.ts'
import { WorkerClient } from './worker-client.ts'

interface NpmClient {
  name: string
  worker: string
  dependencies: Readonly<Record<string, string>>
  remarks: readonly string[]
  everyRecord?: EveryHeaderStyle
}

export interface NpmSource extends ClientSource {
  /** Another program of `node/` that uses the client: `script` is its name there. */
  program(script: string, args: readonly string[]): Promise<Program>
}

function npmClient({ name, worker, dependencies, remarks, everyRecord }: NpmClient): NpmSource {
  const folder = `${cacheDir}/npm/${worker}`
  let installing: Promise<string> | undefined
  const program = async (script: string, args: readonly string[]): Promise<Program> => {
    installing ??= installNpmPackages(folder, dependencies)
    return {
      command: await installing,
      args: [fileURLToPath(new URL(`./node/${script}.ts`, import.meta.url)), folder, ...args],
      env: { NODE_NO_WARNINGS: '1' },
    }
  }
  return {
    name,
    program,
    async install() {
      await program(worker, [])
      const version = dependencies[name]!
      return async (bootstrap, logFile) =>
        new WorkerClient({
          name,
          version,
          remarks: [`Runs on Node ${versions.node}.`, ...remarks],
          codecs: allCodecs,
          ...(everyRecord && { everyRecord }),
          ...(await program(worker, [bootstrap])),
          logFile,
        })
    },
  }
}

export const kafkajs = npmClient({
  name: 'kafkajs',
  worker: 'kafkajs',
  everyRecord: 'every-but-null',
  dependencies: { kafkajs: versions.kafkajs, 'kafkajs-snappy': '1.1.0', 'lz4-napi': '2.10.0' },
  remarks: [
    'It does not send headers without a value, which it reads.',
    'Its consumer works only in groups: in the cases about records they are fetched through the connection and record decoding that its consumer is built on.',
    'Brings gzip; the plug-ins for the others are kafkajs-snappy, lz4-napi and the zstd of node:zlib (kafkajs-lz4 and @kafkajs/zstd need native builds that fail on this Node).',
  ],
})

export const platformatic = npmClient({
  name: '@platformatic/kafka',
  worker: 'platformatic',
  dependencies: { '@platformatic/kafka': versions.platformaticKafka },
  remarks: [
    'Its consumer stream works only in groups: in the cases about records they are fetched through its public `fetch`.',
    'In transactions it is told to ask for producer id -1: on its own it asks to go on with 0, which a broker refuses to a transactional id that it knows.',
    'It reads committed offsets without asking for stable ones (KIP-447): exactly once is run with one worker.',
  ],
})
