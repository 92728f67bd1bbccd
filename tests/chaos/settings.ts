/** How long the clients and the broker of a chaos run wait for each other; in milliseconds. */
export const timeouts = {
  connect: 1_000,
  request: 3_000,
  heartbeatInterval: 500,
  session: 6_000,
  rebalance: 8_000,
  transaction: 8_000,
  /** How often the broker looks for transactions that have taken too long. */
  abortTimedOutInterval: 500,
  /** Longer than any trouble: whoever gives up before is at fault. */
  giveUp: 180_000,
} as const

/** How long a handler takes at most. */
export const SLOWEST_HANDLER_MS = 1_500

/**
 * As long a partition may go without progress while there is something to do, its network works and no handler holds
 * it. Whatever happened before, a request without an answer is noticed after its timeout, a member that is gone after
 * its session, a rebalance waits for a member no longer than its timeout, and a transaction that nobody ends holds
 * readers up until it is aborted. All of it may come one after the other; and the machine may be slow, hence twice.
 */
export const STALL_BOUND_MS =
  2 * (timeouts.request + timeouts.session + timeouts.rebalance + timeouts.transaction)

export const PARTITIONS = 6
export const KEYS = 36
