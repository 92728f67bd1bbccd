import type { Scheduled } from '../../coordinator/scheduler.ts'

/**
 * What a member must do in time, or it is put out of its group. In consumer groups `join` and `sync` are only
 * asked of members that use the classic protocol.
 */
export type Deadline = 'session' | 'revocation' | 'join' | 'sync'

/**
 * The deadlines of one group's members. In memory only: after a restart every session begins anew.
 */
export class MemberTimers {
  readonly #after: (delayMs: number, run: () => void | Promise<void>) => Scheduled
  readonly #expire: (memberId: string, deadline: Deadline) => void | Promise<void>
  readonly #timers = new Map<string, Map<Deadline, Scheduled>>()
  #closed = false

  /** @param after schedules something in the group's turn. */
  constructor(
    after: (delayMs: number, run: () => void | Promise<void>) => Scheduled,
    expire: (memberId: string, deadline: Deadline) => void | Promise<void>,
  ) {
    this.#after = after
    this.#expire = expire
  }

  isRunning(memberId: string, deadline: Deadline): boolean {
    return this.#timers.get(memberId)?.has(deadline) === true
  }

  /** Begins the time anew if it is running. */
  start(memberId: string, deadline: Deadline, delayMs: number): void {
    if (this.#closed) return
    let timers = this.#timers.get(memberId)
    if (timers === undefined) {
      timers = new Map()
      this.#timers.set(memberId, timers)
    }
    timers.get(deadline)?.cancel()
    const scheduled = this.#after(delayMs, () => {
      timers.delete(deadline)
      return this.#expire(memberId, deadline)
    })
    timers.set(deadline, scheduled)
  }

  end(memberId: string, deadline: Deadline): void {
    const timers = this.#timers.get(memberId)
    timers?.get(deadline)?.cancel()
    timers?.delete(deadline)
  }

  forget(memberId: string): void {
    for (const scheduled of this.#timers.get(memberId)?.values() ?? []) scheduled.cancel()
    this.#timers.delete(memberId)
  }

  /** Nothing begins after it: an append may be under way when the coordinator closes. */
  close(): void {
    this.#closed = true
    for (const memberId of [...this.#timers.keys()]) this.forget(memberId)
  }
}
