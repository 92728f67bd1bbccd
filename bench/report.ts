/** The figures as Markdown, and their place in docs/PERFORMANCE.md. */
import { readFile, writeFile } from 'node:fs/promises'
import { figure, goals } from './goals.ts'
import type { Summary } from './samples.ts'
import type { Session } from './session.ts'
import { type SystemName, systemLabels, systemNames } from './systems.ts'

interface Column {
  readonly value: string
  readonly title: string
}

interface Table {
  readonly measured: string
  readonly title: string
  readonly columns: readonly Column[]
}

const throughput: readonly Column[] = [
  { value: 'mbPerSecond', title: 'MB/s' },
  { value: 'acksPerSecond', title: 'acks/s' },
  { value: 'p50Ms', title: 'p50 ms' },
  { value: 'p99Ms', title: 'p99 ms' },
  { value: 'cpuSecondsPerGb', title: 'broker CPU s/GB' },
]
const joining: readonly Column[] = [
  { value: 'stableMs', title: 'all stable, ms' },
  { value: 'requests', title: 'requests' },
  { value: 'cpuSeconds', title: 'broker CPU s' },
]
const paced: readonly Column[] = [
  { value: 'cpuMicros', title: 'broker CPU µs each' },
  { value: 'p50Ms', title: 'p50 ms' },
  { value: 'p99Ms', title: 'p99 ms' },
]
const fetching = throughput.filter(({ value }) => value !== 'acksPerSecond')

const tables: readonly Table[] = [
  { measured: 'produce-16k', title: '(a) produce, 1 connection × 5 in flight × 16 KB', columns: throughput },
  {
    measured: 'produce-256k',
    title: '(a) produce, 1 connection × 5 in flight × 256 KB',
    columns: throughput,
  },
  { measured: 'produce-1m', title: '(a) produce, 1 connection × 5 in flight × 1 MB', columns: throughput },
  {
    measured: 'produce-50x1k',
    title: '(a) produce, 50 connections × 1 in flight × 1 KB',
    columns: throughput,
  },
  {
    measured: 'produce-50x16k-500p',
    title: '(a) produce, 50 connections × 1 in flight × 16 KB over 500 partitions',
    columns: throughput,
  },
  {
    measured: 'tools-producer',
    title: "(b) Kafka's producer performance tool, 1 KB records, acks=all, 4 partitions",
    columns: [
      { value: 'mbPerSecond', title: 'MB/s' },
      { value: 'p50Ms', title: 'p50 ms' },
      { value: 'p99Ms', title: 'p99 ms' },
    ],
  },
  {
    measured: 'tools-consumer',
    title: "(b) Kafka's consumer performance tool, in a group, without the time it takes to join",
    columns: [
      { value: 'mbPerSecond', title: 'MB/s' },
      { value: 'joinedMs', title: 'to join, ms' },
    ],
  },
  {
    measured: 'latency',
    title: '(c) acknowledgement latency, 1,000 records/s of 1 KB, open loop over 10 connections',
    columns: [
      { value: 'p50Ms', title: 'p50 ms' },
      { value: 'p99Ms', title: 'p99 ms' },
      { value: 'p999Ms', title: 'p99.9 ms' },
      { value: 'sentLateP50Ms', title: 'of it sent late, p50' },
      { value: 'sentLateP99Ms', title: 'sent late, p99' },
    ],
  },
  { measured: 'fetch-tail', title: '(d) fetch, just written, 4 connections × 1 MB', columns: fetching },
  { measured: 'fetch-cold', title: '(d) fetch, from disk, 4 connections × 1 MB', columns: fetching },
  {
    measured: 'start',
    title: '(e) process start to first acknowledged record; memory 3 s later',
    columns: [
      { value: 'firstAckMs', title: 'first ack, ms' },
      { value: 'idleMb', title: 'resident MB' },
    ],
  },
  {
    measured: 'start-in-process',
    title: '(e) Broker.start() in a running process',
    columns: [
      { value: 'startMs', title: 'first, ms' },
      { value: 'secondStartMs', title: 'second, ms' },
      { value: 'importMs', title: 'import before it, ms' },
    ],
  },
  {
    measured: 'connections',
    title: '(e) 1,000 connections × 1 in flight × 4 KB',
    columns: [
      { value: 'loadedMb', title: 'resident MB' },
      { value: 'acksPerSecond', title: 'acks/s' },
    ],
  },
  {
    measured: 'partitions',
    title: '(e) 10,000 partitions with a record each',
    columns: [
      { value: 'firstAckMs', title: 'first ack after a clean stop, ms' },
      { value: 'beforeMb', title: 'resident MB when made' },
      { value: 'afterMb', title: 'resident MB after the restart' },
    ],
  },
  {
    measured: 'recovery',
    title: '(e) restart after kill -9',
    columns: [
      { value: 'logGb', title: 'GB of log' },
      { value: 'firstAckMs', title: 'first ack, ms' },
    ],
  },
  {
    measured: 'group-join-classic',
    title:
      '(f) 100 members of a new classic group on 1,000 partitions: join to stable, two initial delays of 3 s taken off',
    columns: joining,
  },
  {
    measured: 'group-join-consumer',
    title: '(f) the same with the consumer protocol (KIP-848), a heartbeat every 50 ms',
    columns: joining,
  },
  {
    measured: 'commits',
    title: '(f) offset commits, 100 groups × 1 in flight × 1 partition',
    columns: [
      { value: 'commitsPerSecond', title: 'commits/s' },
      { value: 'p50Ms', title: 'p50 ms' },
      { value: 'p99Ms', title: 'p99 ms' },
      { value: 'cpuMicros', title: 'broker CPU µs each' },
    ],
  },
  {
    measured: 'paced-records',
    title: '(f) 1,000 records/s of 100 bytes over 100 connections',
    columns: paced,
  },
  {
    measured: 'paced-commits',
    title: '(f) 1,000 commits/s of 100 groups over 100 connections',
    columns: paced,
  },
  {
    measured: 'start-groups',
    title: '(f) process start until each of 10,000 groups with 100 offsets each has answered OffsetFetch',
    columns: [
      { value: 'answeredMs', title: 'all answered, ms' },
      { value: 'residentMb', title: 'resident MB' },
    ],
  },
  ...(['v2', 'v1'] as const).map((flow) => ({
    measured: `transactions-${flow}`,
    title: `(g) transactions of 10 × 1 KB over 5 partitions, 8 producers, ${flow === 'v2' ? 'partitions added by writing (KIP-890)' : 'partitions added before writing'}`,
    columns: [
      { value: 'transactionsPerSecond', title: 'transactions/s' },
      { value: 'p50Ms', title: 'p50 ms' },
      { value: 'p99Ms', title: 'p99 ms' },
      { value: 'cpuMicros', title: 'broker CPU µs each' },
      { value: 'retriesEach', title: 'requests repeated each' },
    ],
  })),
  {
    measured: 'produce-idempotent',
    title: '(g) 4 idempotent producers × 5 in flight × 64 KB',
    columns: fetching,
  },
  {
    measured: 'produce-transactional',
    title: '(g) the same with a transaction for every 16 MiB',
    columns: fetching,
  },
]

export function goalTable(session: Session): string {
  const rows: string[] = []
  const open: string[] = []
  for (const { asked, check } of goals) {
    const result = check(session.samples)
    if (result === null) open.push(asked)
    else rows.push(`| ${asked} | ${result.measured} | ${result.met ? 'yes' : '**no**'} |`)
  }
  const table = ['| goal | measured (median) | met |', '|---|---|---|', ...rows].join('\n')
  return open.length === 0 ? table : `${table}\n\nNot measured in this run: ${open.join('; ')}.`
}

export function resultTables(session: Session): string {
  return tables
    .map((table) => resultTable(session, table))
    .filter((table) => table !== '')
    .join('\n\n')
}

function resultTable(session: Session, { measured, title, columns }: Table): string {
  const rows: string[] = []
  for (const system of systemNames) {
    const summaries = columns.map(({ value }) => session.samples.summary(measured, system, value))
    if (summaries.every((summary) => summary === undefined)) continue
    const disturbed = summaries.reduce((most, summary) => Math.max(most, summary?.disturbed ?? 0), 0)
    const mark = disturbed === 0 ? '' : ` (${disturbed} of ${summaries[0]?.count} disturbed)`
    const cells = [`${systemLabels[system]}${mark}`, ...summaries.map(cell)]
    if (columns[0]?.value === 'mbPerSecond') cells.push(ratio(session, measured, system))
    rows.push(`| ${cells.join(' | ')} |`)
  }
  if (rows.length === 0) return ''
  const titles = ['', ...columns.map((column) => column.title)]
  if (columns[0]?.value === 'mbPerSecond') titles.push('× Kafka (not synced)')
  const heading = [`| ${titles.join(' | ')} |`, `|${'---|'.repeat(titles.length)}`]
  return [`#### ${title}`, '', ...heading, ...rows].join('\n')
}

function cell(summary: Summary | undefined): string {
  if (summary === undefined) return '–'
  if (summary.count === 1) return figure(summary.median)
  return `${figure(summary.median)} (${figure(summary.lowest)}–${figure(summary.highest)})`
}

function ratio(session: Session, measured: string, system: SystemName): string {
  const own = session.samples.median(measured, system, 'mbPerSecond')
  const kafka = session.samples.median(measured, 'kafka', 'mbPerSecond')
  return own === undefined || kafka === undefined ? '–' : (own / kafka).toFixed(2)
}

export function rawDiskTable(session: Session): string {
  const shown = (value: number | null, otherwise: string) => (value === null ? otherwise : figure(value))
  const rows = session.rawDisk.map((disk) => {
    const cells = [
      disk.before,
      shown(disk.directMbPerSecond, 'refused'),
      figure(disk.bufferedMbPerSecond),
      shown(disk.smallSyncP50Micros, '–'),
      shown(disk.smallSyncP99Micros, '–'),
    ]
    return `| ${cells.join(' | ')} |`
  })
  return [
    '| before | O_DIRECT + O_DSYNC, 1 MiB, extending: MB/s | buffered, 1 MiB, extending, not synced: MB/s | write + fdatasync of 4 KiB in place: p50 µs | p99 µs |',
    '|---|---|---|---|---|',
    ...rows,
  ].join('\n')
}

const BEGIN = '<!-- bench:begin: written by `npm run bench -- --write`, changes by hand are lost -->'
const END = '<!-- bench:end -->'

/** Replaces the generated part of the document; everything around it is written by people. */
export async function writeIntoDocument(path: string, generated: string): Promise<void> {
  const text = await readFile(path, 'utf8')
  const begin = text.indexOf(BEGIN)
  const end = text.indexOf(END)
  if (begin === -1 || end < begin) throw new Error(`${path} has no part between "${BEGIN}" and "${END}"`)
  await writeFile(path, `${text.slice(0, begin) + BEGIN}\n\n${generated}\n\n${text.slice(end)}`)
}
