import type { CompressionName } from '@streambus/protocol'
import { type Cluster, closedError } from '../cluster.ts'
import { abortedError, isStreamBusError, StreamBusError, sentenceOf } from '../errors.ts'
import type { Coordinators } from '../groups/coordinators.ts'
import { checkHandler } from '../known-options.ts'
import { positive } from '../options.ts'
import type { SendingTransaction } from '../producer/produce-sender.ts'
import { Producer, type ProducerOptions } from '../producer/producer.ts'
import { OpenTransaction, type Transaction } from './transaction.ts'
import { type ProducerSession, TransactionRequests } from './transaction-requests.ts'

export interface TransactionalProducerOptions extends ProducerOptions {
  /**
   * Names the producer across restarts (KIP-98): a new one of the same name fences the one before and aborts what
   * that left open. Of two that run at the same time only the later one works.
   */
  transactionalId: string
  /**
   * A transaction that takes longer is aborted by the broker, and its producer is fenced. Until then it holds up
   * those who read committed. Default 60,000; brokers allow up to `transaction.max.timeout.ms`, 15 minutes.
   */
  transactionTimeoutMs?: number
  /** Every in-sync replica has it: a transactional producer has no other. */
  acks?: 'all'
  /** A transactional producer always is. */
  idempotent?: true
}

/** With a `transactionalId` or without; whether there is one tells the compiler which other options there may be. */
export type AnyProducerOptions =
  | TransactionalProducerOptions
  | (ProducerOptions & { transactionalId?: never })

export interface TransactionOptions {
  /** Aborts the transaction, which then rejects with ABORTED, as long as its commit has not begun. */
  signal?: AbortSignal
}

/** How long the abort of an open transaction may take when the producer is closed: the broker does it later anyway. */
const lastAbortTimeoutMs = 5_000

/**
 * Sends messages in transactions: all of a transaction counts, or nothing, over all its partitions and the offsets
 * committed with it.
 */
export class TransactionalProducer {
  readonly #cluster: Cluster
  readonly #producer: Producer
  readonly #requests: TransactionRequests
  readonly #unsubscribe: () => void
  readonly #closing = new AbortController()
  #turn: Promise<unknown> = Promise.resolve()
  #open: OpenTransaction | undefined
  /** As whom the next transaction is; undefined before the first, and when the coordinator has to be asked. */
  #session: ProducerSession | undefined
  #lastSession: ProducerSession | undefined
  /** True when how the last transaction ended is not known. */
  #isUnresolved = false
  #fenced: StreamBusError | undefined
  #closed: Promise<void> | undefined

  constructor(cluster: Cluster, coordinators: Coordinators, options: TransactionalProducerOptions) {
    const { transactionalId, transactionTimeoutMs, ...producerOptions } = options
    if (typeof transactionalId !== 'string' || transactionalId === '') {
      throw new StreamBusError('INVALID_ARGUMENT', 'transactionalId must be the name of the producer.')
    }
    if ((options.acks ?? 'all') !== 'all' || options.idempotent === (false as boolean)) {
      const message =
        "A transactional producer is idempotent, with acks 'all': leave acks and idempotent out."
      throw new StreamBusError('INVALID_ARGUMENT', message)
    }
    const timeoutMs = positive('transactionTimeoutMs', transactionTimeoutMs ?? 60_000)
    this.#cluster = cluster
    this.#requests = new TransactionRequests(cluster, coordinators, transactionalId, timeoutMs)
    const current = (): SendingTransaction | undefined => this.#open
    const sending = {
      transactionalId,
      get current() {
        return current()
      },
    }
    this.#producer = new Producer(cluster, { ...producerOptions, idempotent: true }, sending)
    this.#unsubscribe = cluster.onClose(() => this.#closing.abort(closedError()))
  }

  get transactionalId(): string {
    return this.#requests.transactionalId
  }

  /**
   * Runs a transaction: commits what the callback sent when it returns and everything is acknowledged, and resolves
   * with what it returned. Where the callback throws, or something it sent fails, everything is aborted and the
   * error thrown: then nothing of it counts, and the transaction may be run again.
   *
   *     await producer.transaction(async (tx) => {
   *       await tx.send('payments', { order: 42 })
   *       await tx.sendOffsets(consumer, [{ topic: 'orders', partition: 0, offset: 7 }])
   *     })
   *
   * Transactions of one producer run one after the other, in the order of the calls, so that a callback must not wait
   * for another transaction of its producer. Rejects with PRODUCER_FENCED, which ends the producer for good; with
   * TRANSACTION_IN_DOUBT where the commit was sent and no answer told how it ended within `retryTimeoutMs`; or with what made the
   * transaction fail.
   */
  transaction<T>(run: (tx: Transaction) => Promise<T> | T, options: TransactionOptions = {}): Promise<T> {
    const turn = this.#turn.then(() => {
      checkHandler(run)
      return this.#transact(run, options.signal)
    })
    this.#turn = turn.catch(() => {})
    return turn
  }

  /**
   * Makes the producer ready for its next transaction: takes the transactional id, and settles what an earlier
   * transaction left unknown. `transaction` does it by itself. Rejects with PRODUCER_FENCED, or with the last error
   * of a coordinator that could not be reached within `retryTimeoutMs`.
   */
  ready(): Promise<void> {
    const turn = this.#turn.then(async () => {
      await this.#ready(undefined)
    })
    this.#turn = turn.catch(() => {})
    return turn
  }

  /** @internal */
  compressBy(compression: CompressionName): Promise<void> {
    return this.#producer.compressBy(compression)
  }

  /** Aborts the open transaction, if there is one, and lets go of the connections. Further calls fail with CLOSED. */
  close(): Promise<void> {
    this.#closed ??= this.#shutDown()
    return this.#closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #shutDown(): Promise<void> {
    this.#closing.abort(new StreamBusError('CLOSED', 'The producer was closed.'))
    await this.#turn
    await this.#producer.close()
    this.#unsubscribe()
    this.#requests.close()
  }

  async #transact<T>(run: (tx: Transaction) => Promise<T> | T, signal: AbortSignal | undefined): Promise<T> {
    const session = await this.#ready(signal)
    const open = new OpenTransaction(this.#producer, this.#requests, session)
    this.#open = open
    const removers = [this.#closing.signal, ...(signal ? [signal] : [])].map((one) => open.interruptOn(one))
    try {
      const running = (async () => run(open))()
      const result = await Promise.race([running, open.interrupted])
      await Promise.race([open.settle(), open.interrupted])
      await this.#commit(open)
      return result
    } catch (error) {
      await this.#abort(open, error)
      throw error
    } finally {
      for (const remove of removers) remove()
      this.#open = undefined
    }
  }

  async #commit(open: OpenTransaction): Promise<void> {
    if (!open.begun) return
    try {
      this.#become(await this.#requests.end(open.identity, true))
      open.begun = false
    } catch (error) {
      this.#notice(error)
      if (isStreamBusError(error) && error.code === 'TRANSACTION_IN_DOUBT') {
        this.#notice(error.cause)
        this.#isUnresolved = true
        open.begun = false
      }
      throw error
    }
  }

  /** Never rejects: why the transaction is aborted is what its caller is told. */
  async #abort(open: OpenTransaction, reason: unknown): Promise<void> {
    // What the callback throws may come from elsewhere; what failed in the transaction itself does not.
    this.#notice(open.failure)
    await open.abandon(reason)
    if (!open.begun || this.#fenced !== undefined) return
    try {
      const { retryTimeoutMs } = this.#cluster.settings
      const timeoutMs = Math.min(lastAbortTimeoutMs, retryTimeoutMs)
      const options = this.#closing.signal.aborted ? { timeoutMs } : {}
      const session = await this.#requests.end(open.identity, false, options)
      this.#become(session)
      // In version 1 sequence numbers may have been given to what was never written: they begin anew with an epoch.
      if (session.version === 1) this.#session = undefined
    } catch (error) {
      this.#notice(error)
      this.#isUnresolved = true
      this.#cluster.settings.logger.warn(
        `A transaction of producer '${this.transactionalId}' could not be aborted, which is done before the next one: ${sentenceOf(error)}`,
      )
    }
  }

  async #ready(signal: AbortSignal | undefined): Promise<ProducerSession> {
    const stop = signal ? AbortSignal.any([signal, this.#closing.signal]) : this.#closing.signal
    if (stop.aborted) throw abortedError(stop)
    if (this.#fenced !== undefined) throw this.#fenced
    try {
      if (this.#isUnresolved) await this.#resolve(stop)
      this.#session ??= await this.#requests.initialise(this.#lastSession, { signal: stop })
    } catch (error) {
      this.#notice(error)
      throw error
    }
    if (stop.aborted) throw abortedError(stop)
    this.#lastSession = this.#session
    return this.#session
  }

  /** Ends what may still be open as who began it, so that a producer that was replaced does not fence its successor. */
  async #resolve(signal: AbortSignal): Promise<void> {
    try {
      const session = await this.#requests.end(this.#lastSession as ProducerSession, false, { signal })
      this.#isUnresolved = false
      if (session.version === 2) return this.#become(session)
    } catch (error) {
      // It has ended, or the coordinator has forgotten it: there is nothing to abort.
      const { brokerError } = error as StreamBusError
      if (brokerError !== 'INVALID_TXN_STATE' && brokerError !== 'INVALID_PRODUCER_ID_MAPPING') throw error
    }
    this.#isUnresolved = false
    this.#session = undefined
  }

  #become(session: ProducerSession): void {
    this.#session = session
    this.#lastSession = session
  }

  /** Nothing that a fenced producer does counts any more. */
  #notice(error: unknown): void {
    if (isStreamBusError(error) && error.code === 'PRODUCER_FENCED') this.#fenced ??= error
  }
}
