/** Produce requests in a closed loop, to any of the servers. */
import { runClosedLoop } from './closed-loop.ts'
import type { Phases, ProduceJob, ProduceReport } from './jobs.ts'
import { wireTraffic } from './wire-traffic.ts'

export async function runProduceLoad(job: ProduceJob, phases: Phases): Promise<ProduceReport> {
  const maxAcknowledgements = (job.maxBytes ?? Number.POSITIVE_INFINITY) / job.batchBytes
  const report = await runClosedLoop({ ...job, maxAcknowledgements }, wireTraffic(job), phases)
  return { ...report, bytes: report.acknowledgements * job.batchBytes }
}
