/** A load process: takes one job over the IPC channel, reports its progress, ends. */
import { runCommitLoad } from './commit-load.ts'
import { runFetchLoad } from './fetch-load.ts'
import { runGroupJoinLoad } from './group-join-load.ts'
import type { Job, Phases, Progress, Report } from './jobs.ts'
import { runPacedLoad } from './paced-load.ts'
import { runProduceLoad } from './produce-load.ts'
import { runSequencedProduceLoad } from './sequenced-produce-load.ts'
import { runTransactionLoad } from './transaction-load.ts'

function tell(progress: Progress): void {
  process.send!(progress)
}

const phases: Phases = {
  measuring: () => tell({ kind: 'measuring' }),
  measured: () => tell({ kind: 'measured' }),
}

function run(job: Job): Promise<Report> {
  switch (job.kind) {
    case 'produce':
      return runProduceLoad(job, phases)
    case 'commit':
      return runCommitLoad(job, phases)
    case 'paced':
      return runPacedLoad(job, phases)
    case 'fetch':
      return runFetchLoad(job, phases)
    case 'group-join':
      return runGroupJoinLoad(job, phases)
    case 'transaction':
      return runTransactionLoad(job, phases)
    case 'sequenced-produce':
      return runSequencedProduceLoad(job, phases)
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
