/** Our own SDK, run from its sources beside the clients it has to get on with. */
import { fileURLToPath } from 'node:url'
import { version } from '../packages/client/src/version.ts'
import { allCodecs, type ClientSource } from './client.ts'
import type { Program } from './java-programs.ts'
import { WorkerClient } from './worker-client.ts'

/** A program of `node/` that uses the SDK: `script` is its name there. */
export function streambusProgram(script: string, args: readonly string[]): Program {
  const file = fileURLToPath(new URL(`./node/${script}.ts`, import.meta.url))
  return {
    command: process.execPath,
    args: ['--import', 'tsx', '--conditions=streambus-source', file, ...args],
  }
}

export const streambusSdk: ClientSource = {
  name: 'StreamBus SDK',
  async install() {
    return async (bootstrap, logFile) =>
      new WorkerClient({
        name: 'StreamBus SDK',
        version,
        remarks: [`Our own client, from its sources, on Node ${process.versions.node}.`],
        codecs: allCodecs,
        everyRecord: 'every',
        ...streambusProgram('streambus', [bootstrap]),
        logFile,
      })
  },
}
