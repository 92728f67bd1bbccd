/** Batches of idempotent or transactional producers in a closed loop, several in flight for each producer. */
import { randomBatch } from '../wire/payload.ts'
import { RawConnection } from '../wire/raw-connection.ts'
import { SequencedProducer } from '../wire/sequenced-producer.ts'
import type { Phases, ProduceReport, SequencedProduceJob } from './jobs.ts'
import { LatencyRecorder } from './latency-recorder.ts'
import { wait } from './wait.ts'

export async function runSequencedProduceLoad(
  job: SequencedProduceJob,
  phases: Phases,
): Promise<ProduceReport> {
  const connections: RawConnection[] = []
  const producers: SequencedProducer[] = []
  for (let index = 0; index < job.producers; index++) {
    const connection = await RawConnection.open(job.port)
    connections.push(connection)
    const id = job.transactional ? `${job.topic}-${index}` : null
    const producer = new SequencedProducer(connection, job.topic, id)
    await producer.initialise()
    producers.push(producer)
  }
  const latency = new LatencyRecorder()
  let running = true
  let acknowledgements = 0
  let lastAcknowledgement = Number.POSITIVE_INFINITY
  let becomeFull: () => void = () => {}
  const full = new Promise<void>((resolve) => {
    becomeFull = resolve
  })
  const write = async (producer: SequencedProducer, index: number, records: Uint8Array): Promise<void> => {
    const startedMs = performance.now()
    producer.stamp(records, index)
    await producer.write([{ index, records }])
    latency.add(performance.now() - startedMs)
    if (++acknowledgements >= lastAcknowledgement) becomeFull()
  }
  const run = async (producer: SequencedProducer, index: number): Promise<void> => {
    // Each request in flight has a batch of its own, whose bytes change when it is sent again.
    const batches = Array.from(
      { length: job.inFlight },
      () => randomBatch(job.batchBytes, job.recordBytes).bytes,
    )
    while (running) {
      let left = job.batchesPerTransaction
      if (job.transactional) {
        // The transaction begins with this one; the broker may ask to send it again while it ends the last one,
        // which would bring those behind it out of order.
        left--
        await write(producer, index, batches[0]!)
      }
      await Promise.all(
        batches.map(async (records) => {
          while (left > 0 && running) {
            left--
            await write(producer, index, records)
          }
        }),
      )
      await producer.commit()
    }
  }
  const finished = Promise.all(producers.map(run))
  try {
    await Promise.race([wait(job.warmupMs), finished])
    const before = { acknowledgements, atMs: performance.now() }
    lastAcknowledgement = acknowledgements + job.maxBytes / job.batchBytes
    latency.reset()
    phases.measuring()
    await Promise.race([wait(job.measureMs), full, finished])
    const counted = acknowledgements - before.acknowledgements
    const report = {
      acknowledgements: counted,
      bytes: counted * job.batchBytes,
      seconds: (performance.now() - before.atMs) / 1000,
      latency: latency.summary(),
    }
    phases.measured()
    running = false
    await finished
    return report
  } finally {
    running = false
    for (const connection of connections) connection.close()
  }
}
