/** Starts the server that only acknowledges, as one more system to put a load on. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { killAtExit } from '../peers/command.ts'
import type { RunningSystem } from './systems.ts'

const SINK_MAIN = fileURLToPath(new URL('load/sink-server.ts', import.meta.url))

export async function startSink(): Promise<RunningSystem> {
  const child = fork(SINK_MAIN, [], { execArgv: ['--import', 'tsx', '--conditions=streambus-source'] })
  const forget = killAtExit(child.pid!)
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  return {
    name: 'sink',
    version: '-',
    wire: 'kafka',
    port,
    pid: child.pid!,
    async createTopic(topic) {
      child.send(topic)
      await once(child, 'message')
    },
    async discard() {
      const gone = once(child, 'exit')
      child.disconnect()
      await gone
      forget()
    },
  }
}
