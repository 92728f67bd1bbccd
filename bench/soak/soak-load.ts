/**
 * What a soak puts on the broker, chosen here and nowhere else: topics that forget soon, each in another way, and
 * as much as the broker takes. At some 400 MB/s a log file of 256 MiB is full every second, and what is in it is
 * gone within a minute.
 */

export const MEBIBYTE = 1024 ** 2

export interface SoakTopic {
  readonly name: string
  readonly partitions: number
  readonly configs: Readonly<Record<string, string>>
}

/** So many MiB of each partition stay. */
export const BY_BYTES: SoakTopic = {
  name: 'by-bytes',
  partitions: 8,
  configs: { 'retention.bytes': String(128 * MEBIBYTE), 'retention.ms': '-1' },
}

/** Everything stays for a minute. */
export const BY_TIME: SoakTopic = {
  name: 'by-time',
  partitions: 4,
  configs: { 'retention.ms': '60000' },
}

/** The last record of each key stays. */
export const COMPACTED: SoakTopic = {
  name: 'compacted',
  partitions: 2,
  configs: {
    'cleanup.policy': 'compact',
    'segment.bytes': String(16 * MEBIBYTE),
    'segment.ms': '10000',
    'min.cleanable.dirty.ratio': '0.5',
    'max.compaction.lag.ms': '30000',
    'delete.retention.ms': '10000',
  },
}

/** What is asked how long an acknowledgement takes. */
export const PROBED: SoakTopic = { name: 'probed', partitions: 1, configs: { 'retention.ms': '60000' } }

export const topics: readonly SoakTopic[] = [BY_BYTES, BY_TIME, COMPACTED, PROBED]

/** Settings of the broker: it looks after its logs every second, so that much happens in little time. */
export const brokerSettings: Readonly<Record<string, string>> = {
  'log.retention.check.interval.ms': '1000',
  'log.cleaner.backoff.ms': '1000',
}

/** A closed loop: an idempotent producer for each partition, with so many batches in flight, as fast as it goes. */
export interface FullLoad {
  readonly topic: SoakTopic
  readonly inFlight: number
  readonly batchBytes: number
  /** Of a record's value. */
  readonly recordBytes: number
}

/** Each in a process of its own. */
export const fullLoads: readonly FullLoad[] = [
  { topic: BY_BYTES, inFlight: 3, batchBytes: 256 * 1024, recordBytes: 1000 },
  { topic: BY_TIME, inFlight: 1, batchBytes: 32 * 1024, recordBytes: 1000 },
]

/**
 * Compaction works beside everything else, and retention takes nothing of what it has not seen: a producer that is
 * faster than it fills the disk, whatever the broker. So keyed records come at a fixed rate. Each batch is a read of
 * its own for compaction, some milliseconds when the broker has all it can do; so they come in large batches.
 */
export interface KeyedLoad {
  readonly topic: SoakTopic
  readonly batchesPerSecond: number
  readonly recordsPerBatch: number
  readonly keys: number
  readonly valueBytes: number
  /** One of so many records is a tombstone. */
  readonly recordsPerTombstone: number
}

export const keyedLoad: KeyedLoad = {
  topic: COMPACTED,
  batchesPerSecond: 20,
  recordsPerBatch: 400,
  keys: 100_000,
  valueBytes: 200,
  recordsPerTombstone: 50,
}

/** An open loop of single records with acks=all. */
export interface ProbeLoad {
  readonly topic: SoakTopic
  readonly recordsPerSecond: number
  readonly recordBytes: number
}

export const probeLoad: ProbeLoad = { topic: PROBED, recordsPerSecond: 100, recordBytes: 100 }

/** Read to the last byte and checked, from the first offset on. */
export const consumed: readonly SoakTopic[] = [BY_BYTES, BY_TIME]

/** Read by a member of a group that commits. */
export const consumedInGroup: SoakTopic = PROBED

/** What this load is, in sentences. */
export function describeLoad(): string[] {
  const configs = (topic: SoakTopic) =>
    Object.entries(topic.configs)
      .map(([name, value]) => `\`${name}=${value}\``)
      .join(', ')
  const { batchesPerSecond, recordsPerBatch, keys, valueBytes, recordsPerTombstone } = keyedLoad
  return [
    ...fullLoads.map(
      ({ topic, inFlight, batchBytes, recordBytes }) =>
        `\`${topic.name}\`, ${topic.partitions} partitions, ${configs(topic)}: an idempotent producer for each partition, as fast as it goes, ${inFlight} ${inFlight === 1 ? 'batch' : 'batches'} of ${batchBytes / 1024} KiB in flight, records of ${recordBytes} random bytes`,
    ),
    `\`${COMPACTED.name}\`, ${COMPACTED.partitions} partitions, ${configs(COMPACTED)}: ${(batchesPerSecond * recordsPerBatch).toLocaleString('en-US')} records of ${valueBytes} bytes a second with ${keys.toLocaleString('en-US')} keys, one in ${recordsPerTombstone} a tombstone`,
    `\`${PROBED.name}\`, ${configs(PROBED)}: the probe, ${probeLoad.recordsPerSecond} records of ${probeLoad.recordBytes} bytes a second, one by one, acks=all; latency counts from the moment a record was due. A group of one reads it and commits`,
    `Consumers of ${consumed.map(({ name }) => `\`${name}\``).join(' and ')} read everything and compare each batch with its CRC, and its offset with the one that is due`,
    `Broker: ${Object.entries(brokerSettings)
      .map(([name, value]) => `\`${name}=${value}\``)
      .join(', ')}, everything else as it comes (\`--durability fsync\`)`,
  ]
}
