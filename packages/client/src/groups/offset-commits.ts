import { backoffMs, pause } from '../backoff.ts'
import type { Cluster } from '../cluster.ts'
import { isUncommitted, type Position, type Positions } from '../consumer/positions.ts'
import { isStreamBusError, StreamBusError } from '../errors.ts'
import type { Coordinators } from './coordinators.ts'
import type { GroupMembership } from './group-membership.ts'
import { commitOffsets, type OffsetToCommit } from './group-offsets.ts'

/**
 * Between JoinGroup and SyncGroup nobody can commit; the partitions still owned then are in the next generation. And
 * a member of a consumer group commits with its new epoch when it has been told it (KIP-848).
 */
const passing: ReadonlySet<string | undefined> = new Set(['REBALANCE_IN_PROGRESS', 'STALE_MEMBER_EPOCH'])

/** Whoever reads the partitions. */
export interface CommitListener {
  committed(offsets: readonly OffsetToCommit[]): void
  /** A commit that nobody waits for was refused. */
  fail(error: StreamBusError): void
}

/** Commits the positions of a member: by itself after a time, and when it is told to. */
export class OffsetCommits {
  readonly #cluster: Cluster
  readonly #coordinators: Coordinators
  readonly #lane: string
  readonly #group: string
  readonly #positions: Positions
  readonly #membership: GroupMembership
  readonly #listener: CommitListener
  /** Undefined where nothing is committed without being told to. */
  readonly #intervalMs: number | undefined
  #last: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  readonly #stopping = new AbortController()

  constructor(
    cluster: Cluster,
    coordinators: Coordinators,
    lane: string,
    group: string,
    positions: Positions,
    membership: GroupMembership,
    listener: CommitListener,
    intervalMs: number | undefined,
  ) {
    this.#cluster = cluster
    this.#coordinators = coordinators
    this.#lane = lane
    this.#group = group
    this.#positions = positions
    this.#membership = membership
    this.#listener = listener
    this.#intervalMs = intervalMs
  }

  /** Commits everything that is due when the interval is over. */
  schedule(): void {
    if (this.#timer !== undefined || this.#intervalMs === undefined || this.#stopping.signal.aborted) return
    this.#timer = setTimeout(() => {
      this.commitIfReachable(this.#positions.uncommitted)
        .catch((error: unknown) => this.#listener.fail(error as StreamBusError))
        .finally(() => {
          this.#timer = undefined
          if (this.#positions.uncommitted.length > 0) this.schedule()
        })
    }, this.#intervalMs)
  }

  /** From now on only what is asked for is committed. */
  stop(): void {
    this.#stopping.abort(new StreamBusError('CLOSED', 'The consumer was closed.'))
    clearTimeout(this.#timer)
  }

  /**
   * One commit after the other, so that an older one never overtakes a newer. With `timeoutMs`, it is tried for so long
   * also when the others have stopped, and then rejects with REQUEST_TIMEOUT, whatever it waits for.
   */
  commit(positions: readonly Position[], timeoutMs?: number): Promise<void> {
    const committed = this.#inTurn(() => this.#commitNow(positions, ({ next }) => next, timeoutMs))
    if (timeoutMs === undefined) return committed
    return new Promise((resolve, reject) => {
      const late = () => {
        const message = `Group '${this.#group}' has not committed within ${timeoutMs} ms.`
        reject(new StreamBusError('REQUEST_TIMEOUT', message))
      }
      const timer = setTimeout(late, timeoutMs)
      committed.then(resolve, reject).finally(() => clearTimeout(timer))
    })
  }

  /**
   * What nobody asked for: where the coordinator is away for longer than a commit is tried, the messages are handled all
   * the same, and those that stay uncommitted again, should this member go before it is back.
   */
  async commitIfReachable(positions: readonly Position[]): Promise<void> {
    try {
      await this.commit(positions)
    } catch (error) {
      if (!isStreamBusError(error) || !error.retriable) throw error
      this.#cluster.settings.logger.warn(`${error.message} It is committed with what comes after it.`)
    }
  }

  /** Commits this offset, wherever the position is. */
  commitAt(position: Position, offset: number): Promise<void> {
    return this.#inTurn(() => this.#commitNow([position], () => offset))
  }

  #inTurn(commit: () => Promise<void>): Promise<void> {
    const committed = this.#last.then(commit)
    this.#last = committed.catch(() => {})
    return committed
  }

  async #commitNow(
    positions: readonly Position[],
    offsetOf: (position: Position) => number,
    timeoutMs?: number,
  ): Promise<void> {
    const deadlineMs = performance.now() + (timeoutMs ?? Number.POSITIVE_INFINITY)
    for (let attempt = 0; ; attempt++) {
      const due = positions.filter((one) => isUncommitted(one, offsetOf(one)))
      if (due.length === 0) return
      const offsets = due.map((position) => {
        const { topic, partition } = position
        return { topic, partition, offset: offsetOf(position) }
      })
      const { member } = this.#membership
      try {
        await commitOffsets(
          this.#coordinators,
          this.#lane,
          this.#group,
          offsets,
          member,
          timeoutMs === undefined ? { signal: this.#stopping.signal } : { timeoutMs },
        )
        due.forEach((position, index) => {
          position.committed = offsets[index]!.offset
        })
        this.#listener.committed(offsets)
        return
      } catch (error) {
        if (!isStreamBusError(error) || performance.now() > deadlineMs) throw error
        if (error.brokerError === 'UNKNOWN_MEMBER_ID' || error.brokerError === 'ILLEGAL_GENERATION') {
          // Of a generation that has passed meanwhile it says nothing about this one.
          this.#membership.lost(member.generation, error.brokerError)
        } else if (error.brokerError === 'GROUP_ID_NOT_FOUND') {
          this.#membership.lost(member.generation, 'UNKNOWN_MEMBER_ID')
        } else if (!passing.has(error.brokerError)) throw error
        // Whoever closes the consumer has its own last commit, which is bounded.
        if (this.#stopping.signal.aborted && timeoutMs === undefined) throw error
      }
      await pause(backoffMs(attempt, this.#cluster.settings.backoff))
    }
  }
}
