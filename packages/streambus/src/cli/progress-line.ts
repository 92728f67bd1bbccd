import { formatBytes } from './numbers.ts'

const STEP_MS = 200

/** How far a long command is, in one line of standard error that is written over: only where a person looks at it. */
export class ProgressLine {
  readonly #startedAt = performance.now()
  #shownAt = 0
  #isShown = false

  show(bytes: number, totalBytes: number): void {
    if (!process.stderr.isTTY) return
    const now = performance.now()
    if (now - this.#shownAt < STEP_MS) return
    this.#shownAt = now
    this.#isShown = true
    const perMs = bytes / Math.max(1, now - this.#startedAt)
    const restSeconds = perMs === 0 ? 0 : Math.ceil(Math.max(0, totalBytes - bytes) / perMs / 1000)
    process.stderr.write(
      `\r\x1b[K${formatBytes(bytes)} of ${formatBytes(totalBytes)}, ${megabytesPerSecond(perMs)}, ${restSeconds} s to go`,
    )
  }

  clear(): void {
    if (this.#isShown) process.stderr.write('\r\x1b[K')
  }
}

export function megabytesPerSecond(bytesPerMs: number): string {
  return `${Math.round(bytesPerMs / 1000)} MB/s`
}
