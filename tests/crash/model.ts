/** What the broker has promised so far, and what it may hold beyond that. */
import { CommittedOffsets } from './groups/committed-offsets.ts'
import { TransactionalHistory } from './transactions/transactional-history.ts'

/** One idempotent producer writing to one partition: its records are 0, 1, 2, … and so are its sequences. */
export class WriterHistory {
  readonly writer: number
  readonly partition: number
  /** Offset each record was acknowledged at, by serial; the records after these may be there or not. */
  readonly acknowledgedAt: number[] = []
  /** Records handed to a connection at least once. */
  sent = 0

  constructor(writer: number, partition: number) {
    this.writer = writer
    this.partition = partition
  }
}

export class PartitionHistory {
  readonly partition: number
  readonly writers = new Map<number, WriterHistory>()
  /** Largest high watermark any answer showed: what a consumer could have read and relied on. */
  seenEndOffset = 0

  constructor(partition: number) {
    this.partition = partition
  }
}

/** `unknown`: a request was under way when the broker died, so that either outcome is right. */
export type TopicFate = 'exists' | 'deleted' | 'unknown-create' | 'unknown-delete'

export interface ModelSpec {
  /** The topic that writers fill. */
  readonly topic: string
  readonly partitions: number
  readonly groups: readonly string[]
  /** The topic that transactions write to. */
  readonly ledger: string
  readonly ledgerPartitions: number
  readonly transactionalProducers: number
}

const internalTopics = ['__consumer_offsets', '__transaction_state']

export class Model {
  readonly topic: string
  readonly partitions: readonly PartitionHistory[]
  /** Topics that are made and removed beside the load, by name. Names are never used twice. */
  readonly passingTopics = new Map<string, { fate: TopicFate; id: string | null }>()
  /** Those that are there from the first kill to the last. */
  readonly lastingTopics: ReadonlySet<string>
  readonly offsets: CommittedOffsets
  readonly ledger: { readonly topic: string; readonly partitions: number }
  readonly transactions: readonly TransactionalHistory[]
  /** What went wrong in the sight of clients while the broker ran. */
  readonly liveFaults: string[] = []
  readonly #producerIds = new Set<bigint>()

  constructor(spec: ModelSpec) {
    const { topic, partitions, groups, ledger, ledgerPartitions, transactionalProducers } = spec
    this.topic = topic
    this.partitions = Array.from({ length: partitions }, (_, index) => new PartitionHistory(index))
    this.lastingTopics = new Set([topic, ledger, ...internalTopics])
    this.offsets = new CommittedOffsets(topic, partitions, groups)
    this.ledger = { topic: ledger, partitions: ledgerPartitions }
    this.transactions = Array.from(
      { length: transactionalProducers },
      (_, producer) => new TransactionalHistory(producer),
    )
  }

  /** Takes what clients noticed since it was asked last. */
  takeLiveFaults(): string[] {
    return this.liveFaults.splice(0)
  }

  get acknowledgedRecords(): number {
    let records = 0
    for (const { writers } of this.partitions) {
      for (const { acknowledgedAt } of writers.values()) records += acknowledgedAt.length
    }
    return records
  }

  /** A producer id that was handed out before, by this or an earlier process, would merge two producers. */
  addProducerId(id: bigint): void {
    if (this.#producerIds.has(id)) throw new Error(`producer id ${id} was handed out twice`)
    this.#producerIds.add(id)
  }
}
