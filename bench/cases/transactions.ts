/** (g) Small transactions a second, and what transactions cost a producer that writes as much as it can. */
import type { SequencedProduceJob, TransactionFlow, TransactionJob } from '../load/jobs.ts'
import { runLoad } from '../load/load-process.ts'
import { cpuSeconds } from '../machine.ts'
import type { Session } from '../session.ts'
import { kafkaSystems, type RunningSystem, type SystemName, startSystem } from '../systems.ts'

const PRODUCERS = 8
export const TRANSACTION_PARTITIONS = 5
const RECORDS_PER_TRANSACTION = 10
const KIB = 1024
export const LARGE_PRODUCERS = 4
const LARGE_BATCH_BYTES = 64 * KIB
/** 16 MiB: about what a producer of this rate writes in the 100 ms after which Kafka Streams commits. */
const BATCHES_PER_TRANSACTION = 256
/** Bounds the data that one repetition leaves on the disk. */
const MAX_BYTES = 1.5e9

export function transactionJob(
  { port }: RunningSystem,
  flow: TransactionFlow,
  topic: string,
): Omit<TransactionJob, 'warmupMs' | 'measureMs'> {
  return {
    kind: 'transaction',
    flow,
    port,
    topic,
    partitions: TRANSACTION_PARTITIONS,
    producers: PRODUCERS,
    recordsPerTransaction: RECORDS_PER_TRANSACTION,
    recordBytes: KIB,
  }
}

export function largeTransactionJob(
  { port }: RunningSystem,
  transactional: boolean,
  topic: string,
): Omit<SequencedProduceJob, 'warmupMs' | 'measureMs'> {
  return {
    kind: 'sequenced-produce',
    transactional,
    port,
    topic,
    producers: LARGE_PRODUCERS,
    inFlight: 5,
    batchBytes: LARGE_BATCH_BYTES,
    recordBytes: KIB,
    batchesPerTransaction: BATCHES_PER_TRANSACTION,
    maxBytes: MAX_BYTES,
  }
}

export async function measureTransactions(session: Session): Promise<void> {
  session.say(
    `\n(g) transactions of ${RECORDS_PER_TRANSACTION} × 1 KB over ${TRANSACTION_PARTITIONS} partitions, ${PRODUCERS} producers`,
  )
  const { rounds } = session.settings
  await withSystems(session, 'transactions', kafkaSystems, async (systems, names, phases) => {
    for (const flow of ['v2', 'v1'] as const) {
      await session.alternate(`transactions-${flow}`, names, rounds, async (name, topic) => {
        const system = systems.get(name)!
        await system.createTopic(topic, TRANSACTION_PARTITIONS)
        const job = { ...transactionJob(system, flow, topic), ...phases }
        const { report, before, after } = await runLoad(job, system.pid)
        return {
          before,
          after,
          values: {
            transactionsPerSecond: report.acknowledgements / report.seconds,
            p50Ms: report.latency.p50 / 1000,
            p99Ms: report.latency.p99 / 1000,
            cpuMicros: (cpuSeconds(system.pid, before, after) / report.acknowledgements) * 1e6,
            retriesEach: report.retries / report.acknowledgements,
          },
        }
      })
    }
  })
}

export async function measureTransactionalProduce(session: Session): Promise<void> {
  session.say(
    `\n(g) ${LARGE_PRODUCERS} producers × 5 in flight × 64 KB, with a commit every 16 MiB and without transactions`,
  )
  const { rounds } = session.settings
  const compared: readonly SystemName[] = ['streambus-fsync', 'kafka']
  await withSystems(session, 'transactional-produce', compared, async (systems, names, phases) => {
    for (let round = 0; round < rounds; round++) {
      // One after the other in each round, so that both meet the same machine.
      for (const transactional of [false, true]) {
        const measured = transactional ? 'produce-transactional' : 'produce-idempotent'
        await session.alternate(measured, names, 1, async (name, repetition) => {
          const system = systems.get(name)!
          const topic = `${repetition}-round-${round}`
          await system.createTopic(topic, LARGE_PRODUCERS)
          const job = { ...largeTransactionJob(system, transactional, topic), ...phases }
          const { report, before, after } = await runLoad(job, system.pid)
          return {
            before,
            after,
            values: {
              mbPerSecond: report.bytes / 1e6 / report.seconds,
              p50Ms: report.latency.p50 / 1000,
              p99Ms: report.latency.p99 / 1000,
              cpuSecondsPerGb: cpuSeconds(system.pid, before, after) / (report.bytes / 1e9),
            },
          }
        })
      }
    }
  })
}

async function withSystems(
  session: Session,
  measured: string,
  candidates: readonly SystemName[],
  measure: (
    systems: ReadonlyMap<SystemName, RunningSystem>,
    names: readonly SystemName[],
    phases: { readonly warmupMs: number; readonly measureMs: number },
  ) => Promise<void>,
): Promise<void> {
  await session.measureDisk(measured)
  const names = session.chosen(candidates)
  const systems = new Map<SystemName, RunningSystem>()
  const { seconds, warmupSeconds } = session.settings
  try {
    for (const name of names) {
      const system = await startSystem(name, session.newFolder(name))
      session.versions.set(name, system.version)
      systems.set(name, system)
    }
    await measure(systems, names, { warmupMs: warmupSeconds * 1000, measureMs: seconds * 1000 })
  } finally {
    for (const system of systems.values()) await system.discard()
  }
}
