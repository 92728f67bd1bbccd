import { isUtf8 } from 'node:buffer'
import { deadLetterHeaders, retryHeaders } from '@streambus/client'
import type { TopicContent } from './produced.ts'

export interface SnapshotOptions {
  /**
   * Adds the time of each message, and the times in the headers of dead letters and of messages in delay topics. They
   * differ from run to run unless the test sets them. Default false.
   */
  timestamps?: boolean
}

/** Names files and lines, which differ between machines and with every change of the code. */
const stackHeader: string = deadLetterHeaders.stack

const timeHeaders: ReadonlySet<string> = new Set([
  deadLetterHeaders.timestamp,
  deadLetterHeaders.time,
  retryHeaders.timestamp,
  retryHeaders.due,
])

export interface MessageSnapshot {
  readonly offset: number
  /** ISO 8601, or null where the message has none. */
  readonly timestamp?: string | null
  readonly key: string | null
  /** Present where there are headers. The stack of a dead letter is left out. */
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
  for (const { partition, offset, timestamp, key, headers: all, bytes } of messages) {
    const headers = Object.fromEntries(
      Object.entries(all).filter(([name]) => name !== stackHeader && (timestamps || !timeHeaders.has(name))),
    )
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
