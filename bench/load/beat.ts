/**
 * A beat at a fixed rate. Timers of the event loop have a grain of a millisecond, as coarse as what is measured by
 * it. The beat comes from a thread that sleeps on a futex instead and wakes this one by a message.
 */
import { Worker } from 'node:worker_threads'

const BEAT_SOURCE = `
const { parentPort, workerData } = require('node:worker_threads')
const cell = new Int32Array(new SharedArrayBuffer(4))
const nowMs = () => Number(process.hrtime.bigint()) / 1e6
let dueMs = nowMs()
for (;;) {
  dueMs += workerData.periodMs
  const waitMs = dueMs - nowMs()
  if (waitMs > 0) Atomics.wait(cell, 0, 0, waitMs)
  parentPort.postMessage(dueMs)
}`

/** The clock that all threads of a process share. */
export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** Calls `onBeat` with the moment it was due, by `nowMs`, whether it comes in time or not. Returns what ends it. */
export function startBeat(
  periodMs: number,
  onBeat: (dueMs: number) => void,
  onError: (error: Error) => void,
): () => Promise<void> {
  const beat = new Worker(BEAT_SOURCE, { eval: true, workerData: { periodMs } })
  beat.on('error', onError)
  beat.on('message', onBeat)
  return async () => {
    beat.off('message', onBeat)
    await beat.terminate()
  }
}
