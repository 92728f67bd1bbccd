/**
 * What a member of a group that uses the `sticky` assignor tells its leader: the user data of Java's StickyAssignor,
 * big-endian, without a version in front.
 *
 *     int32 count of topics, each: int16 length, name in UTF-8, int32 count of partitions, each int32
 *     int32 generation in which they were assigned    (v1; v0 ends before it)
 */
import type { TopicPartition } from '../list-offsets.ts'
import type { PastAssignment } from './assignor.ts'
import { byTopic } from './group-offsets.ts'

const nothing: PastAssignment = { partitions: [], generation: -1 }

export function encodeStickyUserData({ partitions, generation }: PastAssignment): Uint8Array {
  const topics = byTopic(partitions, ({ partition }) => partition)
  const parts = topics.map(({ name, items }) => {
    const topic = Buffer.from(name)
    return Buffer.concat([int16(topic.length), topic, ...[items.length, ...items].map(int32)])
  })
  return Buffer.concat([int32(topics.length), ...parts, int32(generation)])
}

/** Bytes that cannot be read are as good as none: their member had nothing, as for Java. */
export function decodeStickyUserData(bytes: Uint8Array | null): PastAssignment {
  if (bytes === null) return nothing
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const partitions: TopicPartition[] = []
  let position = 0
  try {
    const next = () => {
      position += 4
      return buffer.readInt32BE(position - 4)
    }
    for (let topics = next(); topics > 0; topics--) {
      const length = buffer.readInt16BE(position)
      if (length < 0 || position + 2 + length > buffer.length) return nothing
      const topic = buffer.toString('utf8', position + 2, position + 2 + length)
      position += 2 + length
      for (let count = next(); count > 0; count--) partitions.push({ topic, partition: next() })
    }
    return { partitions, generation: buffer.length - position < 4 ? -1 : next() }
  } catch (error) {
    if (error instanceof RangeError) return nothing
    throw error
  }
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
