/** A load process: takes a job over the IPC channel, tells its figures when it is asked, ends when it is told to. */
import { consume } from './consuming.ts'
import type { Answer, Figures, Job, Load, Order } from './jobs.ts'
import { probe } from './probing.ts'
import { produceAtFullSpeed, produceKeyed } from './producing.ts'

function tell(answer: Answer): void {
  // Whoever started this may have gone; then this ends with the channel.
  if (process.connected) process.send!(answer)
}

function fail(error: Error): void {
  tell({ kind: 'failed', reason: error.message })
}

function begin(job: Job): Promise<Load<Figures>> {
  switch (job.kind) {
    case 'full':
      return produceAtFullSpeed(job, fail)
    case 'keyed':
      return produceKeyed(job, fail)
    case 'probe':
      return probe(job, fail)
    case 'consume':
      return consume(job, fail)
  }
}

let load: Load | undefined

async function take(order: Order): Promise<void> {
  if (order.kind === 'begin') {
    load = await begin(order.job)
    tell({ kind: 'begun' })
  } else if (order.kind === 'figures') {
    tell({ kind: 'figures', figures: load!.takeFigures() })
  } else {
    await load!.stop()
    tell({ kind: 'stopped' })
  }
}

process.on('message', (order: Order) => {
  take(order).catch(fail)
})
process.once('disconnect', () => process.exit())
// Ctrl-C reaches the whole group of processes; this one ends when it is told to.
process.on('SIGINT', () => {})
