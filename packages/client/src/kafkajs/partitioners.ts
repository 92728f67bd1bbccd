/**
 * Which partition a message goes to, as kafkajs finds it: a key always goes to the same partition, by the hash of
 * Java's client or, for those who began with version 1, by the one kafkajs had then.
 *
 * The hash of the legacy partitioner and the round of messages without a key are those of KafkaJS 2.2.4, Copyright (c)
 * 2018 Túlio Ornelas, under the MIT licence (see types.ts).
 */
import { partitionOfKey } from '../producer/murmur2.ts'
import type { ICustomPartitioner, Message } from './producer-types.ts'

function partitionerBy(partitionOf: (key: Buffer, partitions: number) => number): ICustomPartitioner {
  return () => {
    const counters = new Map<string, number>()
    return ({ topic, partitionMetadata, message }) => {
      if (message.partition !== undefined && message.partition !== null) return message.partition
      if (message.key !== undefined && message.key !== null) {
        return partitionOf(keyBytes(message.key), partitionMetadata.length)
      }
      const available = partitionMetadata.filter(({ leader }) => leader >= 0)
      const candidates = available.length > 0 ? available : partitionMetadata
      const counter = (counters.get(topic) ?? Math.floor(Math.random() * 0x7fffffff)) + 1
      counters.set(topic, counter)
      return candidates[(counter & 0x7fffffff) % candidates.length]!.partitionId
    }
  }
}

function keyBytes(key: NonNullable<Message['key']>): Buffer {
  return Buffer.isBuffer(key) ? key : Buffer.from(String(key))
}

/**
 * The hash as kafkajs computed it before 2.0, with 64-bit floating point numbers: where Java's overflows, this one
 * rounds. Every step is kept as it was, because what it yields is where the messages of old keys lie.
 */
function legacyHash(bytes: Buffer): number {
  const at = (index: number) => (bytes[index] ?? 0) & 0xff
  const multiplier = 0x5bd1e995
  const { length } = bytes
  let hash = 0x9747b28c ^ length
  // The last step of the loop may reach beyond the end, where zeros are read.
  for (let step = 0; step < length / 4; step++) {
    const start = step * 4
    let word = at(start) + (at(start + 1) << 8) + (at(start + 2) << 16) + (at(start + 3) << 24)
    word *= multiplier
    word ^= word >>> 24
    word *= multiplier
    hash *= multiplier
    hash ^= word
  }
  const rest = length % 4
  const start = length & ~3
  if (rest >= 3) hash ^= at(start + 2) << 16
  if (rest >= 2) hash ^= at(start + 1) << 8
  if (rest >= 1) {
    hash ^= at(start)
    hash *= multiplier
  }
  hash ^= hash >>> 13
  hash *= multiplier
  return hash ^ (hash >>> 15)
}

const byJavaHash = partitionerBy(partitionOfKey)

export const Partitioners: {
  /** By the hash of the Java client. */
  DefaultPartitioner: ICustomPartitioner
  /** By the hash of kafkajs before 2.0. */
  LegacyPartitioner: ICustomPartitioner
  /** @deprecated Use DefaultPartitioner, which is the same. */
  JavaCompatiblePartitioner: ICustomPartitioner
} = {
  DefaultPartitioner: byJavaHash,
  LegacyPartitioner: partitionerBy((key, partitions) => (legacyHash(key) & 0x7fffffff) % partitions),
  JavaCompatiblePartitioner: byJavaHash,
}

export type DefaultPartitioner = ICustomPartitioner
export type LegacyPartitioner = ICustomPartitioner
