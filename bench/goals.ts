/** The speed StreamBus sets itself, as data: what is asked, where it was measured, whether it is met. */
import type { Samples } from './samples.ts'

export interface Goal {
  readonly asked: string
  /** Null for what this run did not measure. */
  readonly check: (samples: Samples) => Check | null
}

export interface Check {
  readonly measured: string
  readonly met: boolean
}

interface Bound {
  readonly measured: string
  readonly value: string
  readonly unit: string
}

const ours = 'streambus-fsync'

function atLeast({ measured, value, unit }: Bound, bound: number): Goal['check'] {
  return (samples) => {
    const median = samples.median(measured, ours, value)
    if (median === undefined) return null
    return { measured: `${figure(median)} ${unit}`, met: median >= bound }
  }
}

function atMost({ measured, value, unit }: Bound, bound: number): Goal['check'] {
  return (samples) => {
    const median = samples.median(measured, ours, value)
    if (median === undefined) return null
    return { measured: `${figure(median)} ${unit}`, met: median <= bound }
  }
}

function timesPeer(
  { measured, value }: Omit<Bound, 'unit'>,
  peer: 'kafka' | 'kafka-flush' | 'redis' | 'nats',
  accept: (ratio: number) => boolean,
): Goal['check'] {
  return (samples) => {
    const own = samples.median(measured, ours, value)
    const theirs = samples.median(measured, peer, value)
    if (own === undefined || theirs === undefined) return null
    const ratio = own / theirs
    return { measured: `${figure(own)} / ${figure(theirs)} = ${ratio.toFixed(2)} ×`, met: accept(ratio) }
  }
}

const rate = (measured: string): Bound => ({ measured, value: 'mbPerSecond', unit: 'MB/s' })

export const goals: readonly Goal[] = [
  { asked: 'durable produce, 256 KB batches ≥ 400 MB/s', check: atLeast(rate('produce-256k'), 400) },
  {
    asked: 'durable produce, 256 KB batches ≥ 1.5 × Kafka that does not sync',
    check: timesPeer(rate('produce-256k'), 'kafka', (ratio) => ratio >= 1.5),
  },
  { asked: 'durable produce, 1 MB batches ≥ 400 MB/s', check: atLeast(rate('produce-1m'), 400) },
  {
    asked: 'durable produce, 1 MB batches ≥ 1.5 × Kafka that does not sync',
    check: timesPeer(rate('produce-1m'), 'kafka', (ratio) => ratio >= 1.5),
  },
  {
    asked: 'durable, 50 × 16 KB over 500 partitions ≥ 200 MB/s',
    check: atLeast(rate('produce-50x16k-500p'), 200),
  },
  {
    asked: 'durable, 50 × 16 KB over 500 partitions ≥ 10 × Kafka with flush.messages=1',
    check: timesPeer(rate('produce-50x16k-500p'), 'kafka-flush', (ratio) => ratio >= 10),
  },
  {
    asked: 'durable, 50 connections × 1 KB ≥ 25,000 acknowledgements/s',
    check: atLeast({ measured: 'produce-50x1k', value: 'acksPerSecond', unit: '/s' }, 25_000),
  },
  {
    asked: 'durable, 50 connections × 1 KB ≥ Redis Streams with appendfsync always',
    check: timesPeer({ measured: 'produce-50x1k', value: 'acksPerSecond' }, 'redis', (ratio) => ratio >= 1),
  },
  {
    asked: 'durable, 50 connections × 1 KB ≥ NATS JetStream',
    check: timesPeer({ measured: 'produce-50x1k', value: 'acksPerSecond' }, 'nats', (ratio) => ratio >= 1),
  },
  {
    asked: 'durable acknowledgement at 1,000/s: p50 ≤ 1 ms',
    check: atMost({ measured: 'latency', value: 'p50Ms', unit: 'ms' }, 1),
  },
  {
    asked: 'durable acknowledgement at 1,000/s: p99 ≤ 5 ms',
    check: atMost({ measured: 'latency', value: 'p99Ms', unit: 'ms' }, 5),
  },
  {
    asked: "durable acknowledgement at 1,000/s: p99 ≤ Kafka's without sync",
    check: timesPeer({ measured: 'latency', value: 'p99Ms' }, 'kafka', (ratio) => ratio <= 1),
  },
  { asked: 'fetch from the tail cache ≥ 1,000 MB/s', check: atLeast(rate('fetch-tail'), 1000) },
  {
    asked: "fetch from disk ≥ Kafka's",
    check: timesPeer(rate('fetch-cold'), 'kafka', (ratio) => ratio >= 1),
  },
  {
    asked: 'process start to first acknowledged record ≤ 400 ms',
    check: atMost({ measured: 'start', value: 'firstAckMs', unit: 'ms' }, 400),
  },
  {
    asked: 'Broker.start() in process ≤ 100 ms',
    check: atMost({ measured: 'start-in-process', value: 'startMs', unit: 'ms' }, 100),
  },
  { asked: 'idle memory ≤ 80 MB', check: atMost({ measured: 'start', value: 'idleMb', unit: 'MB' }, 80) },
  {
    asked: 'memory with 1,000 connections and load ≤ 300 MB',
    check: atMost({ measured: 'connections', value: 'loadedMb', unit: 'MB' }, 300),
  },
  {
    asked: '10,000 partitions: start after a clean stop ≤ 3 s',
    check: atMost({ measured: 'partitions', value: 'firstAckMs', unit: 'ms' }, 3000),
  },
  {
    asked: '10,000 partitions: memory ≤ 300 MB',
    check: atMost({ measured: 'partitions', value: 'afterMb', unit: 'MB' }, 300),
  },
  {
    asked: 'restart after kill -9 with 10 GB of log ≤ 3 s',
    check: (samples) => {
      const tookMs = samples.median('recovery', ours, 'firstAckMs')
      const logGb = samples.median('recovery', ours, 'logGb')
      if (tookMs === undefined || logGb === undefined) return null
      // A smaller log says nothing about this goal.
      if (logGb < 9.9) return null
      return { measured: `${figure(tookMs)} ms`, met: tookMs <= 3000 }
    },
  },
  ...(['classic', 'consumer'] as const).flatMap((protocol) => [
    {
      asked: `100 members join 1,000 partitions, ${protocol} protocol: stable ≤ 1 s${protocol === 'classic' ? ' after the initial delay' : ''}`,
      check: atMost({ measured: `group-join-${protocol}`, value: 'stableMs', unit: 'ms' }, 1000),
    },
    {
      asked: `100 members join 1,000 partitions, ${protocol} protocol: ≤ Kafka's`,
      check: timesPeer(
        { measured: `group-join-${protocol}`, value: 'stableMs' },
        'kafka',
        (ratio) => ratio <= 1,
      ),
    },
  ]),
  {
    asked: 'durable offset commits, 100 groups ≥ 10,000/s',
    check: atLeast({ measured: 'commits', value: 'commitsPerSecond', unit: '/s' }, 10_000),
  },
  {
    asked: '1,000 commits/s: CPU ≤ 1.25 × that of 1,000 small records/s',
    check: (samples) => {
      const commits = samples.median('paced-commits', ours, 'cpuMicros')
      const records = samples.median('paced-records', ours, 'cpuMicros')
      if (commits === undefined || records === undefined) return null
      return {
        measured: `${figure(commits)} / ${figure(records)} µs each = ${(commits / records).toFixed(2)} ×`,
        met: commits <= 1.25 * records,
      }
    },
  },
  {
    asked: 'start with 10,000 groups and 1,000,000 committed offsets ≤ 3 s',
    check: (samples) => {
      const offsets = samples.median('start-groups', ours, 'offsets')
      const tookMs = samples.median('start-groups', ours, 'answeredMs')
      if (offsets === undefined || tookMs === undefined) return null
      // Fewer say nothing about this goal.
      if (offsets < 1e6) return null
      return { measured: `${figure(tookMs)} ms`, met: tookMs <= 3000 }
    },
  },
  ...(['v2', 'v1'] as const).flatMap((flow) => [
    {
      asked: `durable transactions (${flow}), 5 partitions, 10 records, 8 producers ≥ 1,000/s`,
      check: atLeast({ measured: `transactions-${flow}`, value: 'transactionsPerSecond', unit: '/s' }, 1000),
    },
    {
      asked: `durable transactions (${flow}), 5 partitions, 10 records, 8 producers: p99 ≤ 20 ms`,
      check: atMost({ measured: `transactions-${flow}`, value: 'p99Ms', unit: 'ms' }, 20),
    },
  ]),
  {
    asked: 'transactional produce ≥ 0.9 × the same without transactions',
    check: (samples) => {
      const within = samples.median('produce-transactional', ours, 'mbPerSecond')
      const without = samples.median('produce-idempotent', ours, 'mbPerSecond')
      if (within === undefined || without === undefined) return null
      const ratio = within / without
      return {
        measured: `${figure(within)} / ${figure(without)} MB/s = ${ratio.toFixed(2)} ×`,
        met: ratio >= 0.9,
      }
    },
  },
  {
    asked: "CPU seconds per GB, produce (256 KB) + fetch (tail) ≤ Kafka's",
    check: (samples) => {
      const total = (system: typeof ours | 'kafka') => {
        const parts = ['produce-256k', 'fetch-tail'].map((of) =>
          samples.median(of, system, 'cpuSecondsPerGb'),
        )
        return parts.includes(undefined) ? undefined : parts[0]! + parts[1]!
      }
      const own = total(ours)
      const theirs = total('kafka')
      if (own === undefined || theirs === undefined) return null
      return { measured: `${figure(own)} / ${figure(theirs)}`, met: own <= theirs }
    },
  },
]

/** Three digits, or all before the point. */
export function figure(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3)
}
