/** Offset commits in a closed loop, one group and one request in flight for each connection. */
import { runClosedLoop } from './closed-loop.ts'
import { CommitRequest, committingGroups } from './commit-traffic.ts'
import type { ClosedLoopReport, CommitJob, Phases } from './jobs.ts'
import { answerCounter } from './kafka-traffic.ts'
import type { WireTraffic } from './wire-traffic.ts'

export async function runCommitLoad(job: CommitJob, phases: Phases): Promise<ClosedLoopReport> {
  const members = await committingGroups(job.port, job.topic, job.groupPrefix, job.groups)
  const traffic: WireTraffic = {
    connection(index) {
      const request = new CommitRequest(job.topic, members[index]!)
      const count = answerCounter('commit', CommitRequest.errorCodePosition(job.topic))
      return {
        greeting: null,
        greetingAnswers: 0,
        requests: [request.bytes],
        receive(chunk) {
          const answers = count(chunk)
          // With one request in flight its bytes have left when it is answered, and may change.
          if (answers > 0) request.advance()
          return answers
        },
      }
    },
  }
  const shape = {
    ...job,
    connections: job.groups,
    inFlight: 1,
    maxAcknowledgements: Number.POSITIVE_INFINITY,
  }
  return runClosedLoop(shape, traffic, phases)
}
