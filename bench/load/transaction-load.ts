/** Small transactions in a closed loop: a few records to every partition, commit, the next one. */
import { randomFillSync } from 'node:crypto'
import { encodeRecordBatch } from '@streambus/protocol'
import { RawConnection } from '../wire/raw-connection.ts'
import { SequencedProducer } from '../wire/sequenced-producer.ts'
import type { Phases, TransactionJob, TransactionReport } from './jobs.ts'
import { LatencyRecorder } from './latency-recorder.ts'
import { wait } from './wait.ts'

export async function runTransactionLoad(job: TransactionJob, phases: Phases): Promise<TransactionReport> {
  const connections: RawConnection[] = []
  const producers: SequencedProducer[] = []
  for (let index = 0; index < job.producers; index++) {
    const connection = await RawConnection.open(job.port)
    connections.push(connection)
    const producer = new SequencedProducer(connection, job.topic, `${job.topic}-${index}`, job.flow)
    await producer.initialise()
    producers.push(producer)
  }
  const latency = new LatencyRecorder()
  let running = true
  let transactions = 0
  const run = async (producer: SequencedProducer): Promise<void> => {
    const batches = emptyBatches(job)
    const partitions = batches.map(({ index }) => index)
    while (running) {
      const startedMs = performance.now()
      for (const { index, records } of batches) producer.stamp(records, index)
      await producer.add(partitions)
      await producer.write(batches)
      await producer.commit()
      latency.add(performance.now() - startedMs)
      transactions++
    }
  }
  const retries = () => producers.reduce((sum, producer) => sum + producer.retries, 0)
  const finished = Promise.all(producers.map(run))
  try {
    await Promise.race([wait(job.warmupMs), finished])
    const before = { transactions, retries: retries(), atMs: performance.now() }
    latency.reset()
    phases.measuring()
    await Promise.race([wait(job.measureMs), finished])
    const report = {
      acknowledgements: transactions - before.transactions,
      seconds: (performance.now() - before.atMs) / 1000,
      latency: latency.summary(),
      retries: retries() - before.retries,
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

/** One batch for each partition, with its share of the records. */
function emptyBatches(job: TransactionJob): { index: number; records: Uint8Array }[] {
  const recordsEach = job.recordsPerTransaction / job.partitions
  if (!Number.isInteger(recordsEach)) throw new Error('the records do not spread evenly over the partitions')
  const timestamp = BigInt(Date.now())
  return Array.from({ length: job.partitions }, (_, index) => ({
    index,
    records: encodeRecordBatch(
      Array.from({ length: recordsEach }, () => ({
        timestamp,
        key: null,
        value: randomFillSync(new Uint8Array(job.recordBytes)),
        headers: [],
      })),
      { producerId: 0n, producerEpoch: 0, baseSequence: 0 },
    ),
  }))
}
