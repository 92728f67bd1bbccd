import { abortedError, isStreamBusError, StreamBusError, sentenceOf } from '../errors.ts'
import { type CommittingMember, type OffsetToCommit, outsider } from '../groups/group-offsets.ts'
import type { TopicPartition } from '../list-offsets.ts'
import type { OutgoingMessage, Sendable, SendOptions, SentMessage } from '../message.ts'
import type { SendingTransaction } from '../producer/produce-sender.ts'
import type { Producer } from '../producer/producer.ts'
import type { ProducerSession, TransactionRequests } from './transaction-requests.ts'

/** Whose offsets are committed; a `GroupConsumer` is one. */
export interface OffsetOwner {
  readonly group: string
  /**
   * The member that read the messages, by which the coordinator refuses one that has been replaced (KIP-447). Left
   * out: nobody in particular, for a group without members.
   */
  readonly member?: CommittingMember
}

/** What happens in a transaction: all of it counts, or nothing. */
export interface Transaction {
  /** Why it can only be aborted; undefined as long as it can be committed. */
  readonly failure: StreamBusError | undefined
  /**
   * Sends one message as a part of the transaction. It need not be awaited: the commit waits for it, and where it
   * fails the transaction does.
   */
  send(topic: string, value: Sendable, options?: SendOptions): Promise<SentMessage>
  sendBatch(topic: string, messages: readonly OutgoingMessage[]): Promise<SentMessage[]>
  /**
   * Commits offsets of a group, each the one to go on with, when and only when the transaction is committed. Rejects
   * with PARTITIONS_LOST, and the transaction fails, where the member is none of its group any more.
   */
  sendOffsets(owner: OffsetOwner, offsets: readonly OffsetToCommit[]): Promise<void>
  /** Resolves when the producer's buffer has room for more. */
  waitForRoom(): Promise<void>
}

/** Produce by which partitions have been added before, and Produce that adds them (KIP-890). */
const maxProduceVersions = { 1: 11, 2: 12 } as const

/** One transaction, from its begin to its end. */
export class OpenTransaction implements Transaction, SendingTransaction {
  readonly identity: ProducerSession
  readonly #producer: Producer
  readonly #requests: TransactionRequests
  readonly #added = new Set<string>()
  readonly #toAdd = new Map<string, TopicPartition>()
  readonly #offsets = new Set<Promise<void>>()
  readonly #onFailure = (error: unknown) => this.fail(error)
  #interrupt!: (error: StreamBusError) => void
  /** Never resolves; rejects where the transaction is to end before its callback does. */
  readonly interrupted: Promise<never>
  readonly #giveUp = new AbortController()
  #adding: Promise<void> | undefined
  #failure: StreamBusError | undefined
  #discarded: Promise<void> | undefined
  #isOver = false
  /** True when the coordinator may know of it, so that it has to be ended there. */
  begun = false

  constructor(producer: Producer, requests: TransactionRequests, session: ProducerSession) {
    this.identity = session
    this.#producer = producer
    this.#requests = requests
    this.interrupted = new Promise((_, reject) => {
      this.#interrupt = reject
    })
    this.interrupted.catch(() => {})
  }

  get failure(): StreamBusError | undefined {
    return this.#failure
  }

  get maxProduceVersion(): number {
    return maxProduceVersions[this.identity.version]
  }

  send(topic: string, value: Sendable, options?: SendOptions): Promise<SentMessage> {
    return this.#attempt(() => this.#producer.send(topic, value, options))
  }

  sendBatch(topic: string, messages: readonly OutgoingMessage[]): Promise<SentMessage[]> {
    return this.#attempt(() => this.#producer.sendBatch(topic, messages))
  }

  sendOffsets(owner: OffsetOwner, offsets: readonly OffsetToCommit[]): Promise<void> {
    return this.#attempt(() => {
      const committed = this.#commitOffsets(owner, offsets)
      this.#offsets.add(committed)
      return committed
    })
  }

  waitForRoom(): Promise<void> {
    return this.#producer.waitForRoom()
  }

  admits(topic: string, partition: number, onAdmitted: () => void): boolean {
    if (this.#failure !== undefined) return false
    this.begun = true
    if (this.identity.version === 2) return true
    const place = `${topic}/${partition}`
    if (this.#added.has(place)) return true
    this.#toAdd.set(place, { topic, partition })
    this.#adding ??= this.#addPartitions(onAdmitted)
    return false
  }

  /** Nothing more can become part of it. Resolves when everything is acknowledged, rejects where something failed. */
  async settle(): Promise<void> {
    this.#isOver = true
    await Promise.allSettled(this.#offsets)
    await this.#producer.flush()
    if (this.#failure !== undefined) throw this.#failure
  }

  /** From here on it can only be aborted: what was not sent yet will not be. */
  fail(error: unknown): void {
    if (this.#failure !== undefined) return
    this.#failure = isStreamBusError(error)
      ? error
      : new StreamBusError('TRANSACTION_ABORTED', `The transaction failed: ${sentenceOf(error)}`, {
          cause: error,
        })
    this.#giveUp.abort(this.#failure)
    this.#discarded = this.#producer.discard(this.#failure)
  }

  /** Resolves when nothing of it is on its way any more, so that nothing can come behind its end. */
  async abandon(error: unknown): Promise<void> {
    this.#isOver = true
    this.fail(error)
    await Promise.all([this.#discarded, this.#adding, Promise.allSettled(this.#offsets)])
  }

  /** Fails it and ends it, whatever its callback is doing. */
  interrupt(error: StreamBusError): void {
    this.#interrupt(error)
  }

  interruptOn(signal: AbortSignal): () => void {
    const onAbort = () => this.interrupt(abortedError(signal))
    signal.addEventListener('abort', onAbort, { once: true })
    return () => signal.removeEventListener('abort', onAbort)
  }

  #attempt<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#isOver) {
      const message =
        'The transaction is over: what belongs to it has to be sent before its callback returns.'
      return Promise.reject(new StreamBusError('INVALID_ARGUMENT', message))
    }
    const result = this.#failure === undefined ? operation() : Promise.reject(this.#failure)
    // The transaction reports the failure, too: where the caller does not await it, it is no unhandled rejection.
    result.catch(this.#onFailure)
    return result
  }

  async #commitOffsets(owner: OffsetOwner, offsets: readonly OffsetToCommit[]): Promise<void> {
    if (typeof owner?.group !== 'string' || owner.group === '') {
      throw new StreamBusError(
        'INVALID_ARGUMENT',
        'sendOffsets needs a group consumer, or { group, member }.',
      )
    }
    for (const { topic, partition, offset } of offsets) {
      if (Number.isSafeInteger(offset) && offset >= 0) continue
      const message = `${String(offset)} is not an offset to commit for ${topic}/${partition}.`
      throw new StreamBusError('INVALID_ARGUMENT', message)
    }
    if (offsets.length === 0) return
    // Without a generation the coordinator would take it for somebody who is no member, and check nothing.
    if (owner.member !== undefined && owner.member.generation < 0) {
      const message = `The consumer is not a member of group '${owner.group}' at the moment: its partitions are lost.`
      throw new StreamBusError('PARTITIONS_LOST', message)
    }
    this.begun = true
    const member = owner.member ?? outsider
    const { signal } = this.#giveUp
    await this.#requests.commitOffsets(this.identity, owner.group, offsets, member, { signal })
  }

  /** Never rejects. Partitions of one turn of the event loop, and those that come up while a request is out, share one. */
  async #addPartitions(onAdmitted: () => void): Promise<void> {
    const { signal } = this.#giveUp
    try {
      await new Promise((resolve) => setImmediate(resolve))
      while (this.#toAdd.size > 0 && this.#failure === undefined) {
        const partitions = [...this.#toAdd]
        this.#toAdd.clear()
        await this.#requests.addPartitions(
          this.identity,
          partitions.map(([, partition]) => partition),
          { signal },
        )
        for (const [place] of partitions) this.#added.add(place)
        onAdmitted()
      }
    } catch (error) {
      this.fail(error)
    } finally {
      this.#adding = undefined
    }
  }
}
