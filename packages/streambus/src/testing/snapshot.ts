import { isUtf8 } from 'node:buffer'
import type { TopicContent } from './produced.ts'

export interface SnapshotOptions {
  /** Adds the time of each message, which differs from run to run unless the test sets it. Default false. */
  timestamps?: boolean
}

export interface MessageSnapshot {
  readonly offset: number
  /** ISO 8601, or null where the message has none. */
  readonly timestamp?: string | null
  readonly key: string | null
  /** Present where there are headers. */
  readonly headers?: Readonly<Record<string, string | null>>
  /** JSON as what it says, other text as it is, other bytes as `{ base64 }`; null for a tombstone. */
  readonly value: unknown
}

/** The messages of a topic as plain data, by partition: the same messages give the same structure. */
export interface TopicSnapshot {
  readonly topic: string
  readonly partitions: readonly (readonly MessageSnapshot[])[]
}

export function snapshotOf(
  topic: string,
  { partitionCount, messages }: TopicContent,
  { timestamps = false }: SnapshotOptions,
): TopicSnapshot {
  const partitions: MessageSnapshot[][] = Array.from({ length: partitionCount }, () => [])
  for (const { partition, offset, timestamp, key, headers, bytes } of messages) {
    partitions[partition]?.push({
      offset,
      ...(timestamps ? { timestamp: timestamp < 0 ? null : new Date(timestamp).toISOString() } : {}),
      key,
      ...(Object.keys(headers).length > 0 ? { headers } : {}),
      value: contentOf(bytes),
    })
  }
  return { topic, partitions }
}

function contentOf(bytes: Buffer | null): unknown {
  if (bytes === null) return null
  if (!isUtf8(bytes)) return { base64: bytes.toString('base64') }
  const text = bytes.toString()
  try {
    return JSON.parse(text)
  } catch {
    // Not JSON, which is nothing wrong.
    return text
  }
}
