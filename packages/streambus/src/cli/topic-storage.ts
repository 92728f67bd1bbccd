import type { ConfigEntry, LogCompaction, PartitionDescription, PartitionStorage } from '@streambus/client'
import { limitOf } from './kept-line.ts'
import { formatBytes, table } from './numbers.ts'

type Configs = readonly Pick<ConfigEntry, 'name' | 'value'>[]

interface Partition extends PartitionStorage {
  readonly earliest: number
}

interface Column {
  readonly head: string
  cell(partition: Partition): string | number
}

/**
 * How partitions are kept, and what is done with them next. What only StreamBus tells has no column where the brokers
 * are others; nor have compaction and retention in a topic that has none.
 */
export function storageTable(
  partitions: readonly Pick<PartitionDescription, 'partition' | 'earliest'>[],
  storage: readonly PartitionStorage[],
  configs: Configs,
  nowMs: number,
): string {
  const rows = storage.map((one, index) => ({ ...one, earliest: partitions[index]!.earliest }))
  const columns = [
    { head: 'Partition', cell: ({ partition }) => partition },
    {
      head: 'Oldest record',
      cell: ({ oldestTimestampMs }) => (oldestTimestampMs === null ? '-' : timeOf(oldestTimestampMs)),
    },
    ...retentionColumns(rows, configs, nowMs),
    ...fileColumns(rows),
    ...compactionColumns(rows, configs),
  ] satisfies Column[]
  return table([
    columns.map(({ head }) => head),
    ...rows.map((row) => columns.map(({ cell }: Column) => cell(row))),
  ])
}

function retentionColumns(rows: readonly Partition[], configs: Configs, nowMs: number): Column[] {
  const columns: Column[] = []
  const isDeleted = settingOf(configs, 'cleanup.policy')?.split(',').includes('delete') === true
  const retentionMs = limitOf(settingOf(configs, 'retention.ms'))
  if (isDeleted && retentionMs !== undefined) {
    columns.push({
      head: 'Goes',
      cell: ({ oldestTimestampMs }) => {
        if (oldestTimestampMs === null) return '-'
        const goesMs = oldestTimestampMs + retentionMs
        return goesMs <= nowMs ? 'next check' : timeOf(goesMs)
      },
    })
  }
  if (rows.some(({ log }) => log !== null && log.expiredTo !== null)) {
    columns.push({
      head: 'Past retention',
      cell: ({ log, earliest }) => {
        const expiredTo = log?.expiredTo ?? null
        return expiredTo === null ? '-' : Math.max(0, expiredTo - earliest)
      },
    })
  }
  return columns
}

function fileColumns(rows: readonly Partition[]): Column[] {
  if (!rows.some(({ log }) => log !== null)) return []
  return [
    { head: 'Files', cell: ({ log }) => log?.files ?? '-' },
    { head: 'Segments', cell: ({ log }) => log?.segments ?? '-' },
    { head: 'In files', cell: ({ log }) => (log === null ? '-' : formatBytes(log.heldBytes)) },
  ]
}

function compactionColumns(rows: readonly Partition[], configs: Configs): Column[] {
  const cells = (cell: (compaction: LogCompaction, partition: Partition) => string) => {
    return (partition: Partition) =>
      partition.log === null || partition.log.compaction === null
        ? '-'
        : cell(partition.log.compaction, partition)
  }
  if (!rows.some(({ log }) => log !== null && log.compaction !== null)) return []
  return [
    { head: 'Not compacted', cell: cells(({ dirtyBytes }) => formatBytes(dirtyBytes)) },
    {
      head: 'Last pass',
      cell: cells(({ lastPassAtMs }) => (lastPassAtMs === null ? '-' : timeOf(lastPassAtMs))),
    },
    { head: 'Next pass waits for', cell: cells((compaction) => waitOf(compaction, configs)) },
  ]
}

function waitOf({ waitsFor, dirtyRatio }: LogCompaction, configs: Configs): string {
  switch (waitsFor) {
    case 'turn':
      return 'its turn'
    case 'ratio':
      return `${percentOf(Number(settingOf(configs, 'min.cleanable.dirty.ratio')))} not compacted, now ${percentOf(dirtyRatio)}`
    case 'lag':
      return 'records to be older'
    case 'transaction':
      return 'the end of a transaction'
    case 'file':
      return 'the log file to be full'
    case 'repair':
      return 'a repair: something cannot be read'
    case 'records':
      return 'new records'
    default:
      return waitsFor
  }
}

function percentOf(share: number): string {
  return `${Math.floor(100 * share)}%`
}

/** The times of producers may be any number. */
function timeOf(timeMs: number): string {
  const date = new Date(timeMs)
  return Number.isNaN(date.getTime()) ? String(timeMs) : date.toISOString()
}

function settingOf(configs: Configs, name: string): string | undefined {
  return configs.find((one) => one.name === name)?.value ?? undefined
}
