/**
 * The open loop: requests are due at fixed moments whether earlier ones were answered or not, and latency
 * counts from the moment a request was due, so that a stall shows in every request it held up.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

import { randomBatch } from '../wire/payload.ts'
import { nowMs, startBeat } from './beat.ts'
import { CommitRequest, committingGroups } from './commit-traffic.ts'
import type { PacedJob, PacedReport, Phases } from './jobs.ts'
import { answerCounter, errorCodePosition, produceRequest } from './kafka-traffic.ts'
import { LatencyRecorder } from './latency-recorder.ts'
import { wait } from './wait.ts'

/** What surrounds one record of this kind in a batch: the batch header and the record's own fields. */
const BATCH_OVERHEAD_BYTES = 61 + 16
const DRAIN_MS = 2_000

interface PacedTraffic {
  /** The bytes of the request with this number, over connection `sequence % connections`. */
  readonly nextRequest: (sequence: number) => Uint8Array
  /** For one connection: takes what arrived, returns how many answers it completed, throws on an error. */
  readonly counter: () => (chunk: Uint8Array) => number
}

function records(job: PacedJob): PacedTraffic {
  const { bytes: batch } = randomBatch(job.recordBytes + BATCH_OVERHEAD_BYTES, job.recordBytes)
  const requests = Array.from({ length: job.partitions }, (_, partition) =>
    produceRequest(job.topic, partition, batch),
  )
  return {
    nextRequest: (sequence) => requests[sequence % requests.length]!,
    counter: () => answerCounter('produce', errorCodePosition(job.topic)),
  }
}

async function commits(job: PacedJob): Promise<PacedTraffic> {
  const members = await committingGroups(job.port, job.topic, `paced-${job.topic}`, job.connections)
  const requests = members.map((member) => new CommitRequest(job.topic, member))
  return {
    nextRequest(sequence) {
      const request = requests[sequence % requests.length]!
      request.advance()
      // An earlier one may still wait in the socket.
      return Buffer.from(request.bytes)
    },
    counter: () => answerCounter('commit', CommitRequest.errorCodePosition(job.topic)),
  }
}

export async function runPacedLoad(job: PacedJob, phases: Phases): Promise<PacedReport> {
  const { nextRequest, counter } = job.sends === 'records' ? records(job) : await commits(job)
  const latency = new LatencyRecorder()
  const sendLateness = new LatencyRecorder()
  let measuring = false
  let acknowledgements = 0
  let fail: (error: Error) => void = () => {}
  const failed = new Promise<never>((_, reject) => {
    fail = reject
  })

  const sockets: Socket[] = []
  const dueTimes: number[][] = []
  let closing = false
  for (let index = 0; index < job.connections; index++) {
    const due: number[] = []
    const count = counter()
    const socket = connect({ host: '127.0.0.1', port: job.port })
    await once(socket, 'connect')
    socket.setNoDelay(true)
    socket.on('error', fail)
    socket.on('close', () => {
      if (!closing) fail(new Error('the server closed a connection'))
    })
    socket.on('data', (chunk) => {
      try {
        const answers = count(chunk)
        const receivedMs = nowMs()
        for (let answer = 0; answer < answers; answer++) {
          const dueMs = due.shift()!
          if (Number.isNaN(dueMs)) continue
          acknowledgements++
          latency.add(receivedMs - dueMs)
        }
      } catch (error) {
        fail(error as Error)
      }
    })
    sockets.push(socket)
    dueTimes.push(due)
  }

  let sent = 0
  const onBeat = (dueMs: number): void => {
    const index = sent % sockets.length
    // What was due before the measurement is answered but not counted.
    dueTimes[index]!.push(measuring ? dueMs : Number.NaN)
    if (measuring) sendLateness.add(nowMs() - dueMs)
    sockets[index]!.write(nextRequest(sent))
    sent++
  }
  const stopBeat = startBeat(1000 / job.requestsPerSecond, onBeat, fail)
  try {
    await Promise.race([wait(job.warmupMs), failed])
    measuring = true
    phases.measuring()
    await Promise.race([wait(job.measureMs), failed])
    measuring = false
    phases.measured()
    await Promise.race([wait(DRAIN_MS), failed])
    return { acknowledgements, latency: latency.summary(), sendLateness: sendLateness.summary() }
  } finally {
    closing = true
    await stopBeat()
    for (const socket of sockets) socket.destroy()
  }
}
