import { abortedError } from './errors.ts'

export interface BackoffOptions {
  initialMs: number
  maxMs: number
  /** By which each pause is longer than the one before. Default 2. */
  factor?: number
}

/**
 * For a coordinator that is still writing the markers of the last transaction: that takes milliseconds, and Kafka
 * lets every transaction that follows another at once wait for it.
 */
export const busyBackoff: BackoffOptions = { initialMs: 4, maxMs: 200 }

/**
 * How long to wait before attempt number `attempt` (0 = the first retry): grows up to a bound, and spreads
 * over the upper half of it so that clients which lost the same broker do not come back at the same moment.
 */
export function backoffMs(attempt: number, { initialMs, maxMs, factor = 2 }: BackoffOptions): number {
  const ceiling = Math.min(maxMs, initialMs * factor ** Math.min(attempt, 30))
  return ceiling / 2 + (Math.random() * ceiling) / 2
}

/** Resolves after `ms`; rejects with ABORTED when the signal fires first. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(abortedError(signal))
      return
    }
    const onAbort = () => {
      clearTimeout(timer)
      reject(abortedError(signal as AbortSignal))
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
