/** Shows that the crash test can fail: damages what was read, or the promises, and expects it to be noticed. */
import { setTimeout as delay } from 'node:timers/promises'
import { batchHeader, setBaseOffset } from '@streambus/protocol'
import { identify, recordValue } from './content.ts'
import type { CrashRun, Tamper } from './crash-run.ts'
import { metadataOf, type ToldOffset } from './groups/committed-offsets.ts'
import { steadyGroups } from './groups/group-load.ts'
import type { LedgerContent } from './transactions/transaction-check.ts'
import type { Outcome, TransactionalHistory } from './transactions/transactional-history.ts'

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

/** Long enough for a heartbeat. */
const EXPULSION_MS = 500

export async function runSelfTest(run: CrashRun, port: number): Promise<{ passed: number; failed: number }> {
  const { model } = run
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

  const [writer] = model.partitions[PARTITION]!.writers.values()
  writer!.acknowledgedAt.push(writer!.acknowledgedAt.at(-1)! + 1)
  judge('a record was acknowledged that is not there', (await run.readBack()).faults)
  writer!.acknowledgedAt.pop()
  const [first] = model.passingTopics.keys()
  const topic = model.passingTopics.get(first!)!
  model.passingTopics.set('never-made', { fate: 'exists', id: null })
  judge('a topic is gone', (await run.readBack()).faults)
  model.passingTopics.delete('never-made')
  model.passingTopics.delete(first!)
  model.passingTopics.set(first!, { ...topic, fate: topic.fate === 'exists' ? 'deleted' : 'exists' })
  judge('a topic came back or vanished', (await run.readBack()).faults)
  model.passingTopics.set(first!, topic)

  for (const { name, change } of offsetDamages)
    judge(name, (await run.readBack(changingOffsets(change))).faults)
  for (const { name, change } of ledgerDamages) {
    const ledger = (content: LedgerContent) => change(content, model.transactions)
    judge(name, (await run.readBack({ ledger })).faults)
  }
  await run.load.begin(port, 'coordinators')
  await run.load.groups.expelOne(port)
  await delay(EXPULSION_MS)
  await run.load.finish()
  judge('a member of a group is forgotten', (await run.readBack()).faults)
  const untouched = await run.readBack()
  process.stdout.write(
    `${untouched.faults.length === 0 ? 'ok  ' : 'FAIL'} nothing is found where nothing is\n`,
  )
  for (const fault of untouched.faults) process.stdout.write(`       ${fault}\n`)
  if (untouched.faults.length === 0) passed++
  else failed++
  return { passed, failed }
}

function tampering(replace: (batch: Uint8Array) => Uint8Array[]): Tamper {
  return {
    async *content(partition, content) {
      let position = 0
      for await (const batches of content) {
        yield batches.flatMap((batch) =>
          partition === PARTITION && ++position === BATCH ? replace(batch) : [batch],
        )
      }
    },
  }
}

const cuttingTail: Tamper = {
  async *content(partition, content) {
    let held: readonly Uint8Array[] | undefined
    for await (const batches of content) {
      if (held !== undefined) yield held
      held = batches
    }
    if (held !== undefined && held.length > 0) yield partition === PARTITION ? held.slice(0, -1) : held
  },
}

/** Each changes what is told of one partition of one group. */
const offsetDamages: readonly { name: string; change: (told: ToldOffset) => ToldOffset | null }[] = [
  { name: 'a committed offset has gone back', change: ({ offset }) => told(offset - 1) },
  { name: 'a committed offset was never sent', change: ({ offset }) => told(offset + 1_000_000) },
  { name: 'a committed offset is lost', change: () => ({ offset: -1, metadata: '' }) },
  { name: 'a committed offset is not told', change: () => null },
  {
    name: "a committed offset has another's metadata",
    change: ({ offset }) => ({ offset, metadata: 'at 0' }),
  },
]

function told(offset: number): ToldOffset {
  return { offset, metadata: metadataOf(offset) }
}

function changingOffsets(change: (told: ToldOffset) => ToldOffset | null): Tamper {
  return {
    offsets(group, offsets) {
      if (group !== steadyGroups[0]) return offsets
      const changed = new Map(offsets)
      const replaced = change(offsets.get(PARTITION)!)
      if (replaced === null) changed.delete(PARTITION)
      else changed.set(PARTITION, replaced)
      return changed
    },
  }
}

type ChangeLedger = (content: LedgerContent, histories: readonly TransactionalHistory[]) => LedgerContent

/** Each changes what a consumer of committed records would be shown, or an offset that was committed with them. */
const ledgerDamages: readonly { name: string; change: ChangeLedger }[] = [
  {
    name: 'a part of a committed transaction is gone',
    change: (content, histories) => withoutRecords(content, recordsOf(histories, 'committed').slice(0, 1)),
  },
  {
    name: 'a committed transaction is gone',
    change: (content, histories) => withoutRecords(content, recordsOf(histories, 'committed')),
  },
  {
    name: 'a record of a transaction is there twice',
    change: (content, histories) => withRecords(content, recordsOf(histories, 'committed').slice(0, 1)),
  },
  {
    name: 'an aborted transaction is shown',
    change: (content, histories) => withRecords(content, recordsOf(histories, 'aborted')),
  },
  {
    name: 'the offset of the last transaction is missing',
    change: ({ partitions, offsets }) => ({
      partitions,
      offsets: offsets.map((of) => (of === null ? null : told(of.offset - 1))),
    }),
  },
  {
    name: 'an offset was committed without its transaction',
    change: ({ partitions, offsets }) => ({
      partitions,
      offsets: offsets.map((of) => told((of?.offset ?? 0) + 1)),
    }),
  },
]

interface LedgerRecord {
  readonly partition: number
  readonly value: Uint8Array
}

/** The records of the first transaction of one producer that ended so. */
function recordsOf(histories: readonly TransactionalHistory[], outcome: Outcome): LedgerRecord[] {
  for (const { writer, transactions } of histories) {
    const transaction = transactions.find((candidate) => candidate.outcome === outcome)
    if (transaction === undefined) continue
    return [...transaction.records].flatMap(([partition, serials]) =>
      serials.map((serial) => ({ partition, value: recordValue({ writer, serial }) })),
    )
  }
  throw new Error(`no transaction was ${outcome}`)
}

function withoutRecords(
  { partitions, offsets }: LedgerContent,
  records: readonly LedgerRecord[],
): LedgerContent {
  return {
    offsets,
    partitions: partitions.map((values, partition) =>
      values.filter(
        (value) =>
          value === null ||
          !records.some((gone) => gone.partition === partition && Buffer.compare(gone.value, value) === 0),
      ),
    ),
  }
}

/** Each added record stands where its writer would have written it, so that its order alone betrays nothing. */
function withRecords(
  { partitions, offsets }: LedgerContent,
  records: readonly LedgerRecord[],
): LedgerContent {
  const changed = partitions.map((values) => [...values])
  for (const { partition, value } of records) {
    const { writer, serial } = identify(value)!
    const values = changed[partition]!
    const later = values.findIndex((other) => {
      const identity = identify(other)
      return identity?.writer === writer && identity.serial > serial
    })
    values.splice(later === -1 ? values.length : later, 0, value)
  }
  return { offsets, partitions: changed }
}
