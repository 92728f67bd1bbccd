/** A load process: takes one job over the IPC channel, reports its progress, ends. */
import { runFetchLoad } from './fetch-load.ts'
import type { FetchReport, Job, PacedReport, Phases, ProduceReport, Progress } from './jobs.ts'
import { runPacedLoad } from './paced-load.ts'
import { runProduceLoad } from './produce-load.ts'

function tell(progress: Progress): void {
  process.send!(progress)
}

const phases: Phases = {
  measuring: () => tell({ kind: 'measuring' }),
  measured: () => tell({ kind: 'measured' }),
}

function run(job: Job): Promise<ProduceReport | PacedReport | FetchReport> {
  switch (job.kind) {
    case 'produce':
      return runProduceLoad(job, phases)
    case 'paced':
      return runPacedLoad(job, phases)
    case 'fetch':
      return runFetchLoad(job, phases)
  }
}

process.once('message', (job: Job) => {
  run(job)
    .then(
      (report) => tell({ kind: 'report', report }),
      (error: Error) => tell({ kind: 'failed', reason: error.message }),
    )
    .finally(() => process.disconnect())
})
