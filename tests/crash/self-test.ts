/** Shows that the crash test can fail: damages what was read, or the promises, and expects it to be noticed. */
import { batchHeader, setBaseOffset } from '@streambus/protocol'
import type { CrashRun, Tamper } from './crash-run.ts'

/** Partition that is damaged, and which of its batches. */
const PARTITION = 1
const BATCH = 3

/** Each replaces one batch by what a broken broker might bring. */
const damages: readonly { name: string; replace: (batch: Uint8Array) => Uint8Array[] }[] = [
  { name: 'a batch is gone', replace: () => [] },
  { name: 'a batch is there twice', replace: (batch) => [batch, batch] },
  {
    name: 'a batch is there twice, at offsets of its own',
    replace: (batch) => {
      const again = Uint8Array.from(batch)
      const records = batchHeader.lastOffsetDelta(batch, 0) + 1
      setBaseOffset(again, 0, batchHeader.baseOffset(batch, 0) + records)
      return [batch, again]
    },
  },
  {
    name: 'a batch has moved by one offset',
    replace: (batch) => {
      const moved = Uint8Array.from(batch)
      setBaseOffset(moved, 0, batchHeader.baseOffset(batch, 0) + 1)
      return [moved]
    },
  },
  {
    name: 'a bit of a record has changed',
    replace: (batch) => {
      const damaged = Uint8Array.from(batch)
      damaged[damaged.byteLength - 2]! ^= 1
      return [damaged]
    },
  },
]

export async function runSelfTest(run: CrashRun): Promise<{ passed: number; failed: number }> {
  let passed = 0
  let failed = 0
  const judge = (name: string, faults: readonly string[]): void => {
    if (faults.length > 0) passed++
    else failed++
    process.stdout.write(
      `${faults.length > 0 ? 'ok  ' : 'FAIL'} ${name}: ${faults[0] ?? 'was not noticed'}\n`,
    )
  }
  for (const { name, replace } of damages) judge(name, (await run.readBack(tampering(replace))).faults)
  judge('the tail of a partition is gone', (await run.readBack(cuttingTail)).faults)

  const [writer] = run.model.partitions[PARTITION]!.writers.values()
  writer!.acknowledgedAt.push(writer!.acknowledgedAt.at(-1)! + 1)
  judge('a record was acknowledged that is not there', (await run.readBack()).faults)
  writer!.acknowledgedAt.pop()
  const [first] = run.model.passingTopics.keys()
  const topic = run.model.passingTopics.get(first!)!
  run.model.passingTopics.set('never-made', { fate: 'exists', id: null })
  judge('a topic is gone', (await run.readBack()).faults)
  run.model.passingTopics.delete('never-made')
  run.model.passingTopics.delete(first!)
  run.model.passingTopics.set(first!, { ...topic, fate: topic.fate === 'exists' ? 'deleted' : 'exists' })
  judge('a topic came back or vanished', (await run.readBack()).faults)
  return { passed, failed }
}

function tampering(replace: (batch: Uint8Array) => Uint8Array[]): Tamper {
  return async function* (partition, content) {
    let position = 0
    for await (const batches of content) {
      yield batches.flatMap((batch) =>
        partition === PARTITION && ++position === BATCH ? replace(batch) : [batch],
      )
    }
  }
}

const cuttingTail: Tamper = async function* (partition, content) {
  let held: readonly Uint8Array[] | undefined
  for await (const batches of content) {
    if (held !== undefined) yield held
    held = batches
  }
  if (held !== undefined && held.length > 0) yield partition === PARTITION ? held.slice(0, -1) : held
}
