/** What the ledger asks of a foreign client, whatever language it is written in. */
import type { ConsumeCommand, ProduceCommand, Produced, TransactCommand } from './node/worker.ts'
import type { Consumed, EveryHeaderStyle, HeaderStyle } from './records.ts'

export interface InteropClient {
  readonly name: string
  readonly version: string
  /** How it is run here, where that needs saying; printed in the ledger. */
  readonly remarks: readonly string[]
  /** Compression codecs it can produce and consume, `none` not counted. */
  readonly codecs: readonly string[]
  /** Codecs it lacks, with the reason. */
  readonly missingCodecs: Readonly<Record<string, string>>
  readonly headers: HeaderStyle
  /** The headers it sends where every kind of record crosses; undefined where it takes no part in that. */
  readonly everyRecord: EveryHeaderStyle | undefined
  /** Why it cannot go on sending when its only broker goes and comes back, or null where it can. */
  readonly endsWithBroker: string | null
  /** False where the client always writes the time of sending. */
  readonly choosesTimestamps: boolean
  /** False where another tool must create a topic with several partitions for it; one partition comes by itself. */
  readonly createsTopics: boolean
  createTopic(topic: string, partitions: number): Promise<void>
  produce(command: ProduceCommand): Promise<Produced>
  consume(command: ConsumeCommand): Promise<Consumed>
  /** The first offset whose timestamp is at least `timestampMs`. */
  offsetForTime(topic: string, partition: number, timestampMs: number): Promise<number>
  /** The timestamp of one record, as the client reads it; only where it does not choose timestamps. */
  timestampAt?(topic: string, partition: number, offset: number): Promise<number>
  /** Sends records in one transaction; only where the client has transactions. */
  transact?(command: TransactCommand): Promise<void>
  close(): Promise<void>
}

/** Prepares a client: installs it when it is not in the cache yet. The result is started against a broker. */
export interface ClientSource {
  readonly name: string
  install(): Promise<(bootstrap: string, logFile: string) => Promise<InteropClient>>
}

export const allCodecs = ['gzip', 'snappy', 'lz4', 'zstd'] as const
