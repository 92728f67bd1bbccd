import type { LogHead } from './log-head.ts'
import type { LogId, Offset } from './log-store.ts'

interface Waiter {
  readonly logIds: readonly LogId[]
  settle(moved: LogId[]): void
}

/** Long polls: who waits for which log's high watermark to move. */
export class AppendWaiters {
  readonly #byLog = new Map<LogId, Set<Waiter>>()
  #closed = false

  wait(
    logs: ReadonlyMap<LogId, LogHead>,
    after: ReadonlyMap<LogId, Offset>,
    maxWaitMs: number,
    signal: AbortSignal | undefined,
  ): Promise<LogId[]> {
    const moved: LogId[] = []
    for (const [logId, offset] of after) {
      const log = logs.get(logId)
      if (log === undefined || log.highWatermark > offset) moved.push(logId)
    }
    if (moved.length > 0 || maxWaitMs <= 0 || this.#closed || signal?.aborted === true) {
      return Promise.resolve(moved)
    }
    return new Promise((resolve) => {
      const abort = () => waiter.settle([])
      const timer = setTimeout(abort, maxWaitMs)
      const waiter: Waiter = {
        logIds: [...after.keys()],
        settle: (logIds) => {
          clearTimeout(timer)
          signal?.removeEventListener('abort', abort)
          for (const logId of waiter.logIds) {
            const waiters = this.#byLog.get(logId)
            waiters?.delete(waiter)
            if (waiters?.size === 0) this.#byLog.delete(logId)
          }
          resolve(logIds)
        },
      }
      signal?.addEventListener('abort', abort, { once: true })
      for (const logId of waiter.logIds) {
        const waiters = this.#byLog.get(logId)
        if (waiters === undefined) this.#byLog.set(logId, new Set([waiter]))
        else waiters.add(waiter)
      }
    })
  }

  /** The log's high watermark moved, or the log is gone. */
  wake(logId: LogId): void {
    const waiters = this.#byLog.get(logId)
    if (waiters === undefined) return
    for (const waiter of [...waiters]) waiter.settle([logId])
  }

  /** Wakes everybody, and lets nobody wait any more. */
  close(): void {
    this.#closed = true
    for (const waiters of [...this.#byLog.values()]) {
      for (const waiter of [...waiters]) waiter.settle([])
    }
  }
}
