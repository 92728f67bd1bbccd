/** Latencies into a histogram of bounded size; resolution three digits, up to an hour. */
import { createHistogram } from 'node:perf_hooks'
import type { LatencySummary } from './jobs.ts'

export class LatencyRecorder {
  readonly #micros = createHistogram({ lowest: 1, highest: 3_600_000_000, figures: 3 })

  add(milliseconds: number): void {
    this.#micros.record(Math.max(1, Math.round(milliseconds * 1000)))
  }

  reset(): void {
    this.#micros.reset()
  }

  summary(): LatencySummary {
    const at = (percentile: number) => (this.#micros.count === 0 ? 0 : this.#micros.percentile(percentile))
    return { p50: at(50), p99: at(99), p999: at(99.9), max: this.#micros.count === 0 ? 0 : this.#micros.max }
  }
}
