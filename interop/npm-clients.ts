/** kafkajs and @platformatic/kafka, installed from npm into the cache, never into the workspace. */
import { access, mkdir, readFile, writeFile } from 'node:fs/promises'
import { arch, platform } from 'node:os'
import { fileURLToPath } from 'node:url'
import { runCommand } from '../peers/command.ts'
import { versions } from '../peers/versions.ts'
import { cacheDir } from '../peers/workspace.ts'
import { allCodecs, type ClientSource } from './client.ts'
import { WorkerClient } from './worker-client.ts'

const NPM_TIMEOUT_MS = 240_000

/** What the npm package `node` installs by a script of its own: the binary for this platform. */
const nodePackage = `${platform() === 'darwin' ? 'node-bin' : 'node'}-${platform()}-${arch()}`

interface NpmClient {
  name: string
  worker: string
  dependencies: Readonly<Record<string, string>>
  remarks: readonly string[]
}

function npmClient({ name, worker, dependencies, remarks }: NpmClient): ClientSource {
  return {
    name,
    async install() {
      const folder = `${cacheDir}/npm/${worker}`
      const node = await installed(folder, { ...dependencies, [nodePackage]: versions.node })
      const version = dependencies[name]!
      return async (bootstrap, logFile) =>
        new WorkerClient({
          name,
          version,
          remarks: [`Runs on Node ${versions.node}.`, ...remarks],
          codecs: allCodecs,
          command: node,
          args: [fileURLToPath(new URL(`./node/${worker}.ts`, import.meta.url)), folder, bootstrap],
          env: { NODE_NO_WARNINGS: '1' },
          logFile,
        })
    },
  }
}

/** Installs exactly these versions, unless they are there already. Returns the path of the `node` among them. */
async function installed(folder: string, dependencies: Readonly<Record<string, string>>): Promise<string> {
  const node = `${folder}/node_modules/${nodePackage}/bin/node`
  const manifest = JSON.stringify({ private: true, dependencies }, null, 2)
  const current = await readFile(`${folder}/installed.json`, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  if (current === manifest) return node
  await mkdir(folder, { recursive: true })
  await writeFile(`${folder}/package.json`, manifest)
  const quiet = ['--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error']
  await runCommand('npm', ['install', ...quiet, '--no-workspaces'], {
    cwd: folder,
    timeoutMs: NPM_TIMEOUT_MS,
  })
  await access(node)
  await writeFile(`${folder}/installed.json`, manifest)
  return node
}

export const kafkajs = npmClient({
  name: 'kafkajs',
  worker: 'kafkajs',
  dependencies: { kafkajs: versions.kafkajs, 'kafkajs-snappy': '1.1.0', 'lz4-napi': '2.10.0' },
  remarks: [
    'Its consumer works only in groups: records are fetched through the connection and record decoding that its consumer is built on.',
    'Brings gzip; the plug-ins for the others are kafkajs-snappy, lz4-napi and the zstd of node:zlib (kafkajs-lz4 and @kafkajs/zstd need native builds that fail on this Node).',
  ],
})

export const platformatic = npmClient({
  name: '@platformatic/kafka',
  worker: 'platformatic',
  dependencies: { '@platformatic/kafka': versions.platformaticKafka },
  remarks: ['Its consumer stream works only in groups: records are fetched through its public `fetch`.'],
})
