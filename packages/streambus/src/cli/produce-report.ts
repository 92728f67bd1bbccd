import type { SentMessage } from '@streambus/client'
import { counted, formatBytes, formatCount } from './numbers.ts'

const progressIntervalMs = 500

interface PartitionRange {
  readonly partition: number
  messages: number
  firstOffset: number
  lastOffset: number
}

/** Counts what was acknowledged; shows progress on a terminal, and the sum at the end. */
export class ProduceReport {
  readonly #topic: string
  readonly #json: boolean
  readonly #startedAtMs = performance.now()
  readonly #partitions = new Map<number, PartitionRange>()
  #progress: NodeJS.Timeout | undefined
  messages = 0
  #bytes = 0

  constructor(topic: string, json: boolean) {
    this.#topic = topic
    this.#json = json
    // Where input is typed, progress would get in the way of typing.
    if (process.stderr.isTTY && !process.stdin.isTTY) {
      this.#progress = setInterval(() => process.stderr.write(`\r\x1b[K${this.#sum()}`), progressIntervalMs)
      this.#progress.unref()
    }
  }

  add(sent: readonly SentMessage[], lines: readonly Buffer[]): void {
    this.messages += sent.length
    for (const line of lines) this.#bytes += line.length
    for (const { partition, offset } of sent) {
      const range = this.#partitions.get(partition)
      if (range === undefined) {
        this.#partitions.set(partition, { partition, messages: 1, firstOffset: offset, lastOffset: offset })
        continue
      }
      range.messages++
      if (offset < range.firstOffset) range.firstOffset = offset
      if (offset > range.lastOffset) range.lastOffset = offset
    }
  }

  finish(): void {
    if (this.#progress !== undefined) {
      clearInterval(this.#progress)
      process.stderr.write('\r\x1b[K')
    }
    if (!this.#json) {
      process.stderr.write(`${this.#sum()}\n`)
      return
    }
    const partitions = [...this.#partitions.values()].sort((a, b) => a.partition - b.partition)
    const sum = {
      topic: this.#topic,
      messages: this.messages,
      bytes: this.#bytes,
      seconds: Number((this.#elapsedMs() / 1000).toFixed(3)),
      partitions,
    }
    process.stdout.write(`${JSON.stringify(sum)}\n`)
  }

  #elapsedMs(): number {
    return performance.now() - this.#startedAtMs
  }

  #sum(): string {
    const seconds = this.#elapsedMs() / 1000
    const rate = formatCount(Math.round(this.messages / Math.max(seconds, 0.001)))
    return `Sent ${counted(this.messages, 'message')} (${formatBytes(this.#bytes)}) to '${this.#topic}' in ${seconds.toFixed(1)} s, ${rate} a second.`
  }
}
