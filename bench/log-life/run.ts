/** What becomes of records when they are old, and what it costs. See `--help`. */
import { parseArgs } from 'node:util'
import { describeMachine } from '../machine.ts'
import { measureAcknowledgement } from './acknowledgement.ts'
import { measureColdScan } from './cold-scan.ts'
import { measureCompaction } from './compaction.ts'
import { measureDeletion } from './deletion.ts'
import { type Footprint, measureManyPartitions } from './many-partitions.ts'
import { measureAmplification } from './write-amplification.ts'

const help = `npm run bench:log-life -- [options]

Measures the local engine on this disk: compaction, a cold scan before and after merging, amplification over simulated
days, the deletion of a large topic, acknowledgements while all of it is under way, and what 20,000 partitions with 20 GB
need of memory, open files and time. Needs 30 GB of disk.

  --only NAME   compaction, cold-scan, amplification, deletion, acknowledgement or many-partitions`

const cases: Readonly<Record<string, () => Promise<void>>> = {
  async compaction() {
    const { mbPerSecond, memoryMb } = await measureCompaction()
    row('compaction, MB/s of input', mbPerSecond, '≥ 150', mbPerSecond >= 150)
    row('compaction, MB of memory', memoryMb, '≤ 128', memoryMb <= 128)
  },
  async 'cold-scan'() {
    const { beforeMbPerSecond, afterMbPerSecond, mergeMbPerSecond } = await measureColdScan()
    row('cold scan of one of 100 partitions before merging, MB/s', beforeMbPerSecond)
    row('merging, MB/s of input', mergeMbPerSecond)
    row(
      'cold scan of one of 100 partitions after merging, MB/s',
      afterMbPerSecond,
      '≥ 500',
      afterMbPerSecond >= 500,
    )
  },
  async amplification() {
    for (const [partitions, batchBytes] of [
      [1, 16_000],
      [100, 16_000],
      [10_000, 1_000],
    ] as const) {
      const figures = await measureAmplification({ partitions, batchBytes })
      const { writeAmplification, spaceAmplification, readAmplification } = figures
      const of = `of ${partitions} partitions`
      if (partitions === 100) {
        row(`write amplification ${of}`, writeAmplification, '≤ 2.1', writeAmplification <= 2.1)
      } else row(`write amplification ${of}`, writeAmplification)
      row(`space amplification ${of}`, spaceAmplification)
      row(`read amplification ${of}`, readAmplification)
    }
  },
  async deletion() {
    const { answeredMs, spaceBackMs } = await measureDeletion()
    row('deletion of 10 GB, ms to the answer', answeredMs, '≤ 100', answeredMs <= 100)
    row('deletion of 10 GB, ms until the space is back', spaceBackMs, '≤ 10,000', spaceBackMs <= 10_000)
  },
  async acknowledgement() {
    const figures = await measureAcknowledgement()
    for (const [name, { aloneP99Ms, p99Ms, backgroundMbPerSecond }] of Object.entries(figures)) {
      row(`acknowledgement p99 without ${name}, ms`, aloneP99Ms)
      row(`acknowledgement p99 while ${name}, ms`, p99Ms, '≤ 2 × without', p99Ms <= 2 * aloneP99Ms)
      row('meanwhile MB/s read, looked at and written', backgroundMbPerSecond)
    }
  },
  async 'many-partitions'() {
    const figures = await measureManyPartitions()
    const { filled, merged, reopened, afterReads, readMs } = figures
    row('20,000 partitions, 20 GB: an empty store before, MB of RSS', figures.emptyRssMb)
    row('filling, MB/s', figures.fillMbPerSecond)
    footprintRows('after filling', filled)
    row('merging, MB/s of input', figures.mergeMbPerSecond)
    footprintRows('after merging', merged)
    row('opening it again, ms', figures.reopenMs)
    footprintRows('after opening it again', reopened)
    row('one batch from anywhere, median ms', readMs.median)
    row('one batch from anywhere, p99 ms', readMs.p99)
    row('retention check of all partitions, the first, ms', figures.firstCheckMs)
    row('retention check of all partitions, the next, ms', figures.nextCheckMs)
    footprintRows('after that', afterReads)
  },
}

const { values } = parseArgs({
  options: { only: { type: 'string' }, help: { type: 'boolean', short: 'h', default: false } },
})
if (values.help) console.log(help)
else await main()

async function main(): Promise<void> {
  const names = values.only === undefined ? Object.keys(cases) : [values.only]
  console.log(`- Machine: ${describeMachine()}\n\n| measured | figure | goal | met |\n|---|---|---|---|`)
  for (const name of names) {
    const measure = cases[name]
    if (measure === undefined) {
      throw new Error(`--only takes ${Object.keys(cases).join(', ')}, and not '${name}'`)
    }
    await measure()
  }
}

function footprintRows(when: string, { rssMb, heapMb, buffersMb, files, openFiles }: Footprint): void {
  row(`${when}, MB of RSS`, rssMb)
  row(`${when}, MB of heap`, heapMb)
  row(`${when}, MB of buffers`, buffersMb)
  row(`${when}, files`, files)
  row(`${when}, open files`, openFiles)
}

function row(measured: string, figure: number, goal = '–', met?: boolean): void {
  const text = figure.toLocaleString('en-US', { maximumSignificantDigits: 3 })
  console.log(`| ${measured} | ${text} | ${goal} | ${met === undefined ? '–' : met ? 'yes' : '**no**'} |`)
}
