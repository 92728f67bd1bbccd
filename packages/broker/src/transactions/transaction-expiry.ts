import { ErrorCode } from '@streambus/protocol'
import type { Logger } from '../logger.ts'
import type { Transaction } from './transaction.ts'
import type { ResolvedTransactionOptions } from './transaction-options.ts'
import type { Shard, TransactionRegistry } from './transaction-registry.ts'
import { fenced, isExpired, isTimedOut } from './transitions.ts'

export interface TransactionExpiryOptions {
  readonly registry: TransactionRegistry
  readonly options: ResolvedTransactionOptions
  readonly nowMs: () => number
  readonly log: Logger
  /** Ends what is prepared, in the turn of its id. */
  readonly complete: (shard: Shard, prepared: Transaction) => Promise<void>
}

/** Ids forgotten in one go; the next go follows soon where there are more. */
const MAX_EXPIRED_AT_ONCE = 1000
const NEXT_EXPIRATION_MS = 1000

/**
 * Looks for what is too old, while there is anything that can become it: transactions past their timeout, which
 * are aborted with their producer fenced, and ids that nobody used for long, which are forgotten.
 */
export class TransactionExpiry {
  readonly #options: TransactionExpiryOptions
  #willAbort = false
  #willRemove = false

  constructor(options: TransactionExpiryOptions) {
    this.#options = options
  }

  /** To be called when there is more to look through. */
  watch(): void {
    const { registry, options } = this.#options
    if (registry.ongoing().size > 0 && !this.#willAbort) {
      this.#willAbort = true
      registry.after(options.abortTimedOutIntervalMs, () => this.#abortTimedOut())
    }
    if (registry.size > 0 && !this.#willRemove) {
      this.#willRemove = true
      registry.after(options.removeExpiredIntervalMs, () => this.#removeExpired())
    }
  }

  #abortTimedOut(): void {
    const { registry, nowMs, log, complete } = this.#options
    this.#willAbort = false
    const asOfMs = nowMs()
    for (const id of registry.ongoing()) {
      if (!isTimedOut(registry.get(id)!, asOfMs)) continue
      registry.runInTurn(id, async (shard) => {
        const current = registry.get(id)
        if (current === undefined || !isTimedOut(current, asOfMs)) return
        log.info({ transactionalId: id, timeoutMs: current.timeoutMs }, 'a transaction took too long')
        const next = fenced(current, nowMs())
        if ((await registry.save(shard, next)) === ErrorCode.NONE) await complete(shard, next)
      })
    }
    this.watch()
  }

  #removeExpired(): void {
    const { registry, options, nowMs } = this.#options
    this.#willRemove = false
    const asOfMs = nowMs()
    const isOld = (transaction: Transaction | undefined): boolean =>
      transaction !== undefined && isExpired(transaction, asOfMs, options.idExpirationMs)
    let found = 0
    for (const transaction of registry.all()) {
      if (!isOld(transaction)) continue
      if (++found > MAX_EXPIRED_AT_ONCE) break
      const { transactionalId } = transaction
      registry.runInTurn(transactionalId, async (shard) => {
        // What cannot be removed now is found again by the next look.
        if (isOld(registry.get(transactionalId))) await registry.remove(shard, transactionalId)
      })
    }
    if (found > MAX_EXPIRED_AT_ONCE) {
      this.#willRemove = true
      registry.after(NEXT_EXPIRATION_MS, () => this.#removeExpired())
    } else {
      this.watch()
    }
  }
}
