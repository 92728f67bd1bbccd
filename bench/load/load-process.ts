/** Runs a job in a process of its own and watches the machine while it is measured. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { killAtExit } from '../../peers/command.ts'
import { type MachineSnapshot, residentBytes, snapshot } from '../machine.ts'
import type { Job, Progress, ReportOf } from './jobs.ts'

export interface LoadRun<J extends Job> {
  readonly report: ReportOf<J>
  readonly before: MachineSnapshot
  readonly after: MachineSnapshot
  /** Resident memory of the server when the measurement ended. */
  readonly serverResidentBytes: number
}

const LOAD_MAIN = fileURLToPath(new URL('main.ts', import.meta.url))
/** Beyond what a job says it needs: connecting, encoding its payload, waiting for the last answers. */
const EXTRA_TIME_MS = 90_000

export async function runLoad<J extends Job>(job: J, serverPid: number): Promise<LoadRun<J>> {
  const child = fork(LOAD_MAIN, [], {
    execArgv: ['--import', 'tsx', '--conditions=streambus-source'],
  })
  const forget = killAtExit(child.pid!)
  const exited = once(child, 'exit')
  const timer = setTimeout(() => child.kill('SIGKILL'), job.warmupMs + job.measureMs + EXTRA_TIME_MS)
  let before: MachineSnapshot | undefined
  let after: MachineSnapshot | undefined
  let serverResidentBytes = 0
  let last: Progress | undefined
  child.on('message', (progress: Progress) => {
    last = progress
    if (progress.kind === 'measuring') before = snapshot()
    if (progress.kind === 'measured') {
      after = snapshot()
      serverResidentBytes = residentBytes(serverPid)
    }
  })
  child.send(job)
  const [exitCode, signal] = await exited
  clearTimeout(timer)
  forget()
  if (last?.kind === 'failed') throw new Error(`the load failed: ${last.reason}`)
  if (last?.kind !== 'report' || before === undefined || after === undefined) {
    throw new Error(`the load process ended without a report (${signal ?? `exit code ${exitCode}`})`)
  }
  return { report: last.report as ReportOf<J>, before, after, serverResidentBytes }
}
