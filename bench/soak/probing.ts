/**
 * How long an acknowledgement takes while the broker has all it can do: single records at a fixed rate, whether
 * earlier ones were answered or not, each timed from the moment it was due.
 */
import { nowMs, startBeat } from '../load/beat.ts'
import { LatencyRecorder } from '../load/latency-recorder.ts'
import { randomBatch } from '../wire/payload.ts'
import { RawConnection } from '../wire/raw-connection.ts'
import { SequencedProducer } from '../wire/sequenced-producer.ts'
import type { BeginLoad, ProbeJob } from './jobs.ts'

/** What surrounds one record of this kind in a batch: the batch header and the record's own fields. */
const BATCH_OVERHEAD_BYTES = 61 + 16
/** A broker that is this far behind is not slow but stuck. */
const MAX_UNANSWERED_SECONDS = 20

export const probe: BeginLoad<ProbeJob> = async ({ port, load }, fail) => {
  const { topic, recordsPerSecond, recordBytes } = load
  const connection = await RawConnection.open(port)
  const producer = new SequencedProducer(connection, topic.name, null)
  await producer.initialise()
  const latency = new LatencyRecorder()
  const unanswered: { readonly dueMs: number; readonly written: Promise<void> }[] = []
  const { bytes: batch } = randomBatch(recordBytes + BATCH_OVERHEAD_BYTES, recordBytes)
  const onBeat = (dueMs: number): void => {
    if (unanswered.length > MAX_UNANSWERED_SECONDS * recordsPerSecond) {
      fail(new Error(`nothing was acknowledged for ${MAX_UNANSWERED_SECONDS} s`))
      return
    }
    // One that is not answered yet may still wait in the socket.
    const records = batch.slice()
    producer.stamp(records, 0, Date.now())
    const written = producer.write([{ index: 0, records }]).then(() => {
      latency.add(nowMs() - dueMs)
      // Answers come in the order of the requests.
      unanswered.shift()
    })
    unanswered.push({ dueMs, written })
    written.catch(fail)
  }
  const stopBeat = startBeat(1000 / recordsPerSecond, onBeat, fail)
  return {
    takeFigures() {
      const { p50, p99, max } = latency.summary()
      latency.reset()
      const oldest = unanswered[0]
      const waitingMs = oldest === undefined ? 0 : nowMs() - oldest.dueMs
      // Where nothing came at all, the one that waits is all there is to tell.
      if (max === 0) return { p50Ms: waitingMs, p99Ms: waitingMs, maxMs: waitingMs }
      return { p50Ms: p50 / 1000, p99Ms: p99 / 1000, maxMs: Math.max(max / 1000, waitingMs) }
    },
    async stop() {
      await stopBeat()
      await Promise.all(unanswered.map(({ written }) => written))
      connection.close()
    },
  }
}
