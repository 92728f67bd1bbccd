/** Records into the broker: as many as it takes, or keyed ones at a fixed rate. */
import { encodeRecordBatch } from '@streambus/protocol'
import { SeededRandom } from '../../packages/storage/src/testing/seeded-random.ts'
import { startBeat } from '../load/beat.ts'
import { randomBatch } from '../wire/payload.ts'
import { RawConnection } from '../wire/raw-connection.ts'
import { SequencedProducer } from '../wire/sequenced-producer.ts'
import type { BeginLoad, FullLoadJob, KeyedLoadJob } from './jobs.ts'
import type { KeyedLoad } from './soak-load.ts'

/** Sent again and again. */
const KEYED_BATCHES = 250
/** What is due beyond it is sent when something was answered. */
const MAX_KEYED_IN_FLIGHT = 50

export const produceAtFullSpeed: BeginLoad<FullLoadJob> = async ({ port, load }, fail) => {
  const { topic, inFlight, batchBytes, recordBytes } = load
  let isStopped = false
  let bytes = 0
  const connections: RawConnection[] = []
  const loops: Promise<void>[] = []
  for (let partition = 0; partition < topic.partitions; partition++) {
    const connection = await RawConnection.open(port)
    connections.push(connection)
    const producer = new SequencedProducer(connection, topic.name, null)
    await producer.initialise()
    for (let slot = 0; slot < inFlight; slot++) {
      // Each request in flight has a batch of its own, whose bytes change when it is sent again.
      const records = randomBatch(batchBytes, recordBytes).bytes
      const loop = async (): Promise<void> => {
        while (!isStopped) {
          producer.stamp(records, partition, Date.now())
          await producer.write([{ index: partition, records }])
          bytes += batchBytes
        }
      }
      loops.push(loop())
    }
  }
  const finished = Promise.all(loops)
  finished.catch(fail)
  return {
    takeFigures() {
      const figures = { bytes }
      bytes = 0
      return figures
    },
    async stop() {
      isStopped = true
      await finished
      for (const connection of connections) connection.close()
    },
  }
}

export const produceKeyed: BeginLoad<KeyedLoadJob> = async ({ port, load }, fail) => {
  const { topic, batchesPerSecond } = load
  const connection = await RawConnection.open(port)
  const producer = new SequencedProducer(connection, topic.name, null)
  await producer.initialise()
  const batches = keyedBatches(load)
  const inFlight = new Set<Promise<void>>()
  let bytes = 0
  let due = 0
  let next = 0
  const send = (): void => {
    // Far fewer are in flight than there are batches, so that none is stamped while it is sent.
    for (; due > 0 && inFlight.size < MAX_KEYED_IN_FLIGHT; due--, next++) {
      const records = batches[next % batches.length]!
      const index = next % topic.partitions
      producer.stamp(records, index, Date.now())
      const written = producer.write([{ index, records }]).then(() => {
        bytes += records.byteLength
        inFlight.delete(written)
        send()
      })
      inFlight.add(written)
      written.catch(fail)
    }
  }
  const onBeat = (): void => {
    due++
    send()
  }
  const stopBeat = startBeat(1000 / batchesPerSecond, onBeat, fail)
  return {
    takeFigures() {
      const figures = { bytes }
      bytes = 0
      return figures
    },
    async stop() {
      await stopBeat()
      due = 0
      await Promise.all(inFlight)
      connection.close()
    },
  }
}

function keyedBatches({ recordsPerBatch, keys, valueBytes, recordsPerTombstone }: KeyedLoad): Uint8Array[] {
  const random = new SeededRandom(1)
  const value = Buffer.alloc(valueBytes, 'v')
  return Array.from({ length: KEYED_BATCHES }, () =>
    encodeRecordBatch(
      Array.from({ length: recordsPerBatch }, () => ({
        key: `key-${random.below(keys)}`,
        value: random.below(recordsPerTombstone) === 0 ? null : value,
        timestamp: 0,
      })),
    ),
  )
}
