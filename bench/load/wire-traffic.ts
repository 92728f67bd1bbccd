/**
 * How a closed loop talks to each kind of server: how a connection begins, the bytes of its requests (made
 * once), and how its answers are counted and checked without decoding more than that takes.
 */
import type { ProduceJob } from './jobs.ts'
import { kafkaTraffic } from './kafka-traffic.ts'
import { natsTraffic } from './nats-traffic.ts'
import { redisTraffic } from './redis-traffic.ts'

export interface WireTraffic {
  connection(index: number): ConnectionTraffic
}

export interface ConnectionTraffic {
  /** Sent once, before the first request. */
  readonly greeting: Uint8Array | null
  /** The connection may send requests once this many answers to the greeting have come. */
  readonly greetingAnswers: number
  /** Requests in turn; the first follows the last. The memory is shared and must not be changed. */
  readonly requests: readonly Uint8Array[]
  /** Takes what arrived; returns how many answers it completed. Throws on an answer that says error. */
  receive(chunk: Uint8Array): number
}

export function wireTraffic(job: ProduceJob): WireTraffic {
  switch (job.wire) {
    case 'kafka':
      return kafkaTraffic(job)
    case 'redis':
      return redisTraffic(job)
    case 'nats':
      return natsTraffic(job)
  }
}
