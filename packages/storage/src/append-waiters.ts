import type { LogHead } from './log-head.ts'
import type { LogId, Offset, WaitOptions } from './log-store.ts'

interface Waiter {
  readonly after: ReadonlyMap<LogId, Offset>
  /** Waits for the last stable offset instead of the high watermark. */
  readonly readCommitted: boolean
  settle(moved: LogId[]): void
}

/** The longest time a timer takes; 24 days. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** Long polls: who waits for which log's high watermark or last stable offset to move. */
export class AppendWaiters {
  readonly #byLog = new Map<LogId, Set<Waiter>>()
  #closed = false

  wait(
    logs: ReadonlyMap<LogId, LogHead>,
    after: ReadonlyMap<LogId, Offset>,
    { maxWaitMs, signal, readCommitted = false }: WaitOptions,
  ): Promise<LogId[]> {
    const moved: LogId[] = []
    for (const [logId, offset] of after) {
      if (hasMoved(logs.get(logId), offset, readCommitted)) moved.push(logId)
    }
    if (moved.length > 0 || maxWaitMs <= 0 || this.#closed || signal?.aborted === true) {
      return Promise.resolve(moved)
    }
    return new Promise((resolve) => {
      const abort = () => waiter.settle([])
      const timer = setTimeout(abort, Math.min(maxWaitMs, MAX_TIMER_MS))
      const waiter: Waiter = {
        after,
        readCommitted,
        settle: (logIds) => {
          clearTimeout(timer)
          signal?.removeEventListener('abort', abort)
          for (const logId of after.keys()) {
            const waiters = this.#byLog.get(logId)
            waiters?.delete(waiter)
            if (waiters?.size === 0) this.#byLog.delete(logId)
          }
          resolve(logIds)
        },
      }
      signal?.addEventListener('abort', abort, { once: true })
      for (const logId of after.keys()) {
        const waiters = this.#byLog.get(logId)
        if (waiters === undefined) this.#byLog.set(logId, new Set([waiter]))
        else waiters.add(waiter)
      }
    })
  }

  /** The log's high watermark or last stable offset may have moved, or the log is gone: undefined. */
  wake(logId: LogId, log: LogHead | undefined): void {
    const waiters = this.#byLog.get(logId)
    if (waiters === undefined) return
    for (const waiter of [...waiters]) {
      if (hasMoved(log, waiter.after.get(logId)!, waiter.readCommitted)) waiter.settle([logId])
    }
  }

  /** Ends every wait, and lets nobody wait any more. */
  close(): void {
    this.#closed = true
    for (const waiters of [...this.#byLog.values()]) {
      for (const waiter of [...waiters]) waiter.settle([])
    }
  }
}

function hasMoved(log: LogHead | undefined, after: Offset, readCommitted: boolean): boolean {
  return log === undefined || (readCommitted ? log.lastStableOffset : log.highWatermark) > after
}
