import { backoffMs, pause } from '../backoff.ts'
import type { Cluster } from '../cluster.ts'
import { iterateBatches } from '../consumer/batch-iteration.ts'
import { BatchReader } from '../consumer/batch-reader.ts'
import { type FetchSettings, fetchSettings } from '../consumer/fetch-settings.ts'
import { Fetcher, type OutOfRange } from '../consumer/fetcher.ts'
import { checkStartPosition, type ReadingRange, readingRanges } from '../consumer/start-position.ts'
import { abortedError, isStreamBusError, StreamBusError, sentenceOf } from '../errors.ts'
import { findOffsets, type Isolation, type TopicPartition } from '../list-offsets.ts'
import type { Message, MessageBatch } from '../message.ts'
import { positive } from '../options.ts'
import type { Coordinators } from './coordinators.ts'
import { type GroupConsumerOptions, membershipSettings } from './group-consumer-options.ts'
import { type CommittingMember, commitOffsets, fetchCommitted } from './group-offsets.ts'
import { Membership, type MembershipListener } from './membership.ts'
import { isUncommitted, type Position, Positions } from './positions.ts'

/** How long the commit at the end may take. */
const lastCommitTimeoutMs = 5_000
let lanes = 0

/**
 * Reads topics as a member of a group. Iterate it once, by message or by batch:
 *
 *     for await (const message of bus.consumer('orders', { group: 'billing' })) { … }
 *
 * A message counts as processed when the next one is asked for: what happened to it before is never lost, and
 * after a crash messages since the last commit come again (at least once). Leaving the loop, by `break` or by an
 * error, leaves the group; the message in hand then does not count, unless `commit()` said otherwise.
 *
 * The iteration throws UNKNOWN_TOPIC, GROUP_MISMATCH, GROUP_FULL, MEMBER_FENCED, INVALID_GROUP, NOT_AUTHORIZED,
 * what reading without a group throws, or the last error of a coordinator that could not be reached within
 * `retryTimeoutMs`. A session that ended is no error: the consumer joins again.
 */
export class GroupConsumer implements AsyncIterable<Message> {
  readonly #cluster: Cluster
  readonly #coordinators: Coordinators
  readonly #topics: readonly string[]
  readonly #options: GroupConsumerOptions
  readonly #autoCommitIntervalMs: number
  readonly #isolation: Isolation
  readonly #lane = `group ${++lanes}`
  readonly #offsetsLane = `${this.#lane} offsets`
  readonly #positions = new Positions()
  readonly #reader: BatchReader
  readonly #membership: Membership
  readonly #unsubscribe: () => void
  readonly #onClosed: () => void
  readonly #beforeRevoke: () => Promise<void>
  #remaining: number
  /** Where the message or batch that the caller holds lies, and where to go on once it is processed. */
  #hand: Position | undefined
  #handNext = 0
  #handWaiters: (() => void)[] = []
  #settled = false
  #commits: Promise<void> = Promise.resolve()
  #commitTimer: NodeJS.Timeout | undefined
  #failure: StreamBusError | undefined
  #started = false
  #opened = false
  #closing: Promise<void> | undefined

  /** @param beforeRevoke called, and waited for, before partitions are given up in good order */
  constructor(
    cluster: Cluster,
    coordinators: Coordinators,
    topics: string | readonly string[],
    options: GroupConsumerOptions,
    onClosed: () => void,
    beforeRevoke: () => Promise<void> = async () => {},
  ) {
    this.#beforeRevoke = beforeRevoke
    checkStartPosition(options.from ?? 'earliest')
    if (options.until !== undefined && options.until !== 'end') {
      throw new StreamBusError('INVALID_ARGUMENT', `until can only be 'end', not ${String(options.until)}.`)
    }
    this.#cluster = cluster
    this.#coordinators = coordinators
    this.#onClosed = onClosed
    this.#topics = typeof topics === 'string' ? [topics] : topics
    this.#options = options
    this.#remaining =
      options.limit === undefined ? Number.POSITIVE_INFINITY : positive('limit', options.limit)
    const interval = options.autoCommitIntervalMs ?? 5_000
    this.#autoCommitIntervalMs = interval === 0 ? 0 : positive('autoCommitIntervalMs', interval)
    const settings = fetchSettings(options)
    this.#isolation = settings.isolation
    this.#reader = new BatchReader(this.#fetcher(settings), options.verifyChecksums ?? true)
    this.#membership = new Membership(
      cluster,
      coordinators,
      this.#lane,
      membershipSettings(options),
      this.#topics,
      this.#listener(),
    )
    this.#unsubscribe = cluster.onClose(() => {
      this.#fail(new StreamBusError('CLOSED', 'The client was closed while the consumer was reading.'))
    })
    options.signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  get group(): string {
    return this.#options.group
  }

  /** As whom it commits at this moment; for `sendOffsets` of a transaction. The generation is -1 while it is no member. */
  get member(): CommittingMember {
    return this.#membership.member
  }

  /** The partitions the group has given to this consumer. */
  get assignment(): readonly TopicPartition[] {
    return this.#positions.all.map(({ topic, partition }) => ({ topic, partition }))
  }

  /** By message. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Message> {
    this.#start()
    let messages: readonly Message[] = []
    let index = 0
    let behindBatch = 0
    const open = (batch: MessageBatch) => {
      messages = batch.messages
      behindBatch = this.#handNext
      index = 0
      this.#handNext = batch.messages[0]!.offset
    }
    const take = (): Message => {
      const message = messages[index++] as Message
      this.#handNext = index === messages.length ? behindBatch : message.offset + 1
      return message
    }
    const iterator: AsyncIterableIterator<Message> = {
      [Symbol.asyncIterator]: () => iterator,
      next: () => {
        if (index < messages.length && this.#mayGoOn()) return Promise.resolve({ value: take(), done: false })
        // What is left of the batch belongs to another member by now, and does not count.
        this.#remaining += messages.length - index
        index = messages.length
        return this.#nextBatch(open).then((batch) =>
          batch === undefined ? { value: undefined, done: true } : { value: take(), done: false },
        )
      },
      return: () => this.#leave<Message>(),
    }
    return iterator
  }

  /** By batch, as they lie in the log: less work per message. A batch is processed when the next is asked for. */
  batches(): AsyncIterableIterator<MessageBatch> {
    this.#start()
    return iterateBatches(
      () => this.#nextBatch(),
      () => this.#leave<MessageBatch>(),
    )
  }

  /**
   * Commits the offsets of everything that was given out, the message or batch in hand included. Rejects with
   * PARTITIONS_LOST where the group has given the partition of one to another member meanwhile, or with what the
   * coordinator refuses.
   */
  async commit(): Promise<void> {
    this.#countHand()
    const due = this.#positions.uncommitted
    const held = this.#hand
    await this.#commit(due)
    const lost =
      held?.state === 'gone' ? held : due.find((one) => one.state === 'gone' && one.next !== one.committed)
    if (lost !== undefined) {
      throw new StreamBusError(
        'PARTITIONS_LOST',
        `Group '${this.#options.group}' gave ${lost.topic}/${lost.partition} to another member before its offset was committed.`,
      )
    }
  }

  /**
   * Whether the message is the one given out last, and of a partition that is neither lost nor about to be given up.
   *
   * @internal
   */
  isInHand({ topic, partition }: TopicPartition): boolean {
    const hand = this.#hand
    return hand?.state === 'owned' && hand.topic === topic && hand.partition === partition
  }

  /**
   * The coordinator refused offsets that a transaction was to commit: where it has put out this member, all it owned
   * in that generation is lost.
   *
   * @internal
   */
  commitRefused(generation: number, { brokerError }: StreamBusError): void {
    if (brokerError === 'UNKNOWN_MEMBER_ID' || brokerError === 'ILLEGAL_GENERATION') {
      this.#membership.lost(generation, brokerError)
    }
  }

  /**
   * Goes back to what the group has on record: all that was given out since then comes again. Where it rejects,
   * nothing is given out before it is called again.
   *
   * @internal
   */
  async rewind(): Promise<void> {
    if (this.#closing !== undefined) return
    const partitions = this.#positions.all.filter(({ state }) => state === 'owned')
    this.#stopReading(partitions)
    this.#positions.remove(partitions)
    this.#dropHand()
    this.#reader.fetcher.add(await this.#begin(partitions))
  }

  /** Ends the iteration: commits what was processed, and leaves the group. Rejects where the commit failed. */
  close(): Promise<void> {
    this.#closing ??= this.#shutDown()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  readonly #onAbort = () => this.#fail(abortedError(this.#options.signal as AbortSignal))

  #start(): void {
    if (this.#started) {
      throw new StreamBusError('INVALID_ARGUMENT', 'A consumer can be iterated once; make another one.')
    }
    this.#started = true
  }

  async #leave<T>(): Promise<IteratorResult<T>> {
    this.#dropHand()
    await this.close()
    return { value: undefined, done: true }
  }

  /** What is in hand counts as processed, unless its partition is somebody else's by now. */
  #countHand(): void {
    const hand = this.#hand
    if (hand === undefined || hand.state === 'gone') return
    hand.next = this.#handNext
  }

  #dropHand(): void {
    this.#hand = undefined
    for (const resolve of this.#handWaiters.splice(0)) resolve()
  }

  /** True when the rest of the batch in hand can be given out without a look at anything else. */
  #mayGoOn(): boolean {
    if (this.#hand?.state !== 'owned' || this.#closing !== undefined || this.#failure !== undefined)
      return false
    this.#countHand()
    this.#scheduleCommit()
    return true
  }

  /** @param onOpen called with the batch in the turn in which it becomes the one in hand */
  async #nextBatch(onOpen?: (batch: MessageBatch) => void): Promise<MessageBatch | undefined> {
    if (this.#closing === undefined) this.#countHand()
    this.#dropHand()
    try {
      if (this.#options.signal?.aborted) throw abortedError(this.#options.signal)
      await this.#open()
      while (this.#closing === undefined && this.#remaining > 0) {
        if (this.#failure !== undefined) throw this.#failure
        this.#scheduleCommit()
        if (this.#options.until === 'end' && this.#settled && this.#positions.atEnd) break
        const read = await this.#reader.next(this.#remaining)
        if (read === undefined || this.#closing !== undefined) continue
        const position = this.#positions.get(read)
        // Read for an assignment that is over: whoever owns the partition now reads it again.
        if (position?.state !== 'owned' || position.range !== read.range) continue
        const { topic, partition, messages, highWatermark, nextOffset } = read
        if (messages.length === 0) {
          position.next = nextOffset
          continue
        }
        this.#remaining -= messages.length
        this.#hand = position
        this.#handNext = nextOffset
        const batch = { topic, partition, messages, highWatermark }
        onOpen?.(batch)
        return batch
      }
    } catch (error) {
      this.#failure ??= error as StreamBusError
      const failure = this.#failure
      await this.close().catch((second) => this.#cluster.settings.logger.warn(sentenceOf(second)))
      throw failure
    }
    await this.close()
    return undefined
  }

  async #open(): Promise<void> {
    if (this.#opened) return
    for (const name of this.#topics) await this.#cluster.topic(name, { signal: this.#options.signal })
    this.#opened = true
    if (this.#closing === undefined) this.#membership.start()
  }

  #fetcher(settings: FetchSettings): Fetcher {
    return new Fetcher(this.#cluster, `${this.#lane} fetch`, settings, [], {
      staysOpen: true,
      onOutOfRange: (place) => this.#afterOutOfRange(place),
    })
  }

  #listener(): MembershipListener {
    return {
      assign: (partitions) => this.#assign(partitions),
      revoke: (partitions) => this.#revoke(partitions),
      lose: (partitions) => this.#lose(partitions),
      settle: () => {
        this.#settled = true
        this.#reader.fetcher.interrupt()
      },
      fail: (error) => this.#fail(error),
    }
  }

  async #assign(partitions: readonly TopicPartition[]): Promise<void> {
    this.#settled = false
    const current = await this.#begin(partitions)
    if (this.#closing !== undefined) return
    this.#options.onAssigned?.(current.map(({ topic, partition }) => ({ topic, partition })))
    this.#reader.fetcher.add(current)
    this.#scheduleCommit()
  }

  /** Finds out where to read these partitions from. Those taken away meanwhile are left out. */
  async #begin(partitions: readonly TopicPartition[]): Promise<ReadingRange[]> {
    const { group, from = 'earliest', until } = this.#options
    const added = this.#positions.add(partitions)
    const committed = new Map(
      (await fetchCommitted(this.#coordinators, this.#offsetsLane, group, partitions)).map((one) => [
        `${one.topic}/${one.partition}`,
        one.offset,
      ]),
    )
    for (const position of added) {
      position.committed = committed.get(`${position.topic}/${position.partition}`) ?? null
    }
    const known = added.filter((one) => one.committed !== null)
    const unknown = added.filter((one) => one.committed === null)
    const starts = await readingRanges(
      this.#cluster,
      this.#offsetsLane,
      unknown,
      from,
      until === 'end',
      this.#isolation,
    )
    const ends = until === 'end' ? await this.#ends(known) : []
    const ranges = [
      ...starts,
      ...known.map(({ topic, partition, committed: start }, index) => ({
        topic,
        partition,
        start: start as number,
        end: ends[index] ?? Number.POSITIVE_INFINITY,
      })),
    ]
    return ranges.filter((range) => {
      const position = this.#positions.get(range)
      if (position === undefined || !added.includes(position) || position.state !== 'owned') return false
      position.range = range
      position.next = range.start
      return true
    })
  }

  async #ends(partitions: readonly TopicPartition[]): Promise<number[]> {
    const questions = partitions.map(({ topic, partition }) => ({ topic, partition, at: 'latest' as const }))
    const isolation = this.#isolation
    const found = await findOffsets(this.#cluster, this.#offsetsLane, questions, { isolation })
    return found.map(({ offset }) => offset ?? 0)
  }

  /** The log does not reach back to the committed offset, or was made anew and does not reach so far. */
  async #afterOutOfRange(place: OutOfRange): Promise<number | undefined> {
    const { from = 'earliest' } = this.#options
    const [range] = await readingRanges(
      this.#cluster,
      this.#offsetsLane,
      [place],
      from,
      false,
      this.#isolation,
    )
    const { topic, partition, position, earliest, latest } = place
    if (range === undefined || range.start < earliest || range.start > latest) return undefined
    this.#cluster.settings.logger.warn(
      `The log of ${topic}/${partition} holds offsets ${earliest} to ${latest} and not ${position}; group '${this.#options.group}' goes on at ${range.start}.`,
    )
    const current = this.#positions.get(place)
    if (current !== undefined && current !== this.#hand) current.next = range.start
    return range.start
  }

  async #revoke(partitions: readonly TopicPartition[]): Promise<void> {
    this.#settled = false
    if (partitions.length === 0) return
    const leaving = this.#positions.hold(partitions)
    this.#stopReading(partitions)
    await this.#beforeRevoke()
    await this.#handIsNot(leaving)
    if (this.#options.autoCommit !== false) await this.#commit(leaving)
    this.#giveUp(partitions, false)
  }

  #lose(partitions: readonly TopicPartition[]): void {
    this.#stopReading(partitions)
    this.#giveUp(partitions, true)
    for (const resolve of this.#handWaiters.splice(0)) resolve()
  }

  #stopReading(partitions: readonly TopicPartition[]): void {
    this.#reader.fetcher.remove(partitions)
    for (const { topic, partition } of partitions) this.#reader.drop(topic, partition)
  }

  #giveUp(partitions: readonly TopicPartition[], lost: boolean): void {
    const still = partitions.filter((one) => this.#positions.get(one) !== undefined)
    this.#positions.remove(still)
    if (still.length > 0) this.#options.onRevoked?.(still, lost)
  }

  /** Resolves when the caller holds nothing of these partitions, or has lost it. */
  async #handIsNot(positions: readonly Position[]): Promise<void> {
    while (this.#hand !== undefined && this.#hand.state === 'leaving' && positions.includes(this.#hand)) {
      await new Promise<void>((resolve) => this.#handWaiters.push(resolve))
    }
  }

  #scheduleCommit(): void {
    if (this.#commitTimer !== undefined || this.#options.autoCommit === false) return
    if (this.#closing !== undefined || this.#failure !== undefined) return
    this.#commitTimer = setTimeout(() => {
      this.#commit(this.#positions.uncommitted)
        .catch((error: unknown) => this.#fail(error as StreamBusError))
        .finally(() => {
          this.#commitTimer = undefined
          if (this.#positions.uncommitted.length > 0) this.#scheduleCommit()
        })
    }, this.#autoCommitIntervalMs)
  }

  /** One commit after the other, so that an older one never overtakes a newer. */
  #commit(positions: readonly Position[], timeoutMs?: number): Promise<void> {
    const committed = this.#commits.then(() => this.#commitNow(positions, timeoutMs))
    this.#commits = committed.catch(() => {})
    return committed
  }

  async #commitNow(positions: readonly Position[], timeoutMs?: number): Promise<void> {
    const deadlineMs = performance.now() + (timeoutMs ?? Number.POSITIVE_INFINITY)
    for (let attempt = 0; ; attempt++) {
      const due = positions.filter(isUncommitted)
      if (due.length === 0) return
      const offsets = due.map(({ topic, partition, next }) => ({ topic, partition, offset: next }))
      const { member } = this.#membership
      try {
        await commitOffsets(
          this.#coordinators,
          this.#offsetsLane,
          this.#options.group,
          offsets,
          member,
          timeoutMs === undefined ? {} : { timeoutMs },
        )
        due.forEach((position, index) => {
          position.committed = offsets[index]!.offset
        })
        return
      } catch (error) {
        if (!isStreamBusError(error) || performance.now() > deadlineMs) throw error
        if (error.brokerError === 'UNKNOWN_MEMBER_ID' || error.brokerError === 'ILLEGAL_GENERATION') {
          // Of a generation that has passed meanwhile it says nothing about this one.
          this.#membership.lost(member.generation, error.brokerError)
        } else if (error.brokerError !== 'REBALANCE_IN_PROGRESS') throw error
      }
      // Between JoinGroup and SyncGroup nobody can commit; the partitions still owned then are in the next generation.
      await pause(backoffMs(attempt, this.#cluster.settings.backoff))
    }
  }

  #fail(error: StreamBusError): void {
    this.#failure ??= error
    this.#reader.fetcher.interrupt()
    for (const resolve of this.#handWaiters.splice(0)) resolve()
  }

  async #shutDown(): Promise<void> {
    this.#unsubscribe()
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    clearTimeout(this.#commitTimer)
    const { fetcher } = this.#reader
    fetcher.interrupt()
    await this.#beforeRevoke()
    this.#dropHand()
    try {
      const fenced = this.#failure?.code === 'MEMBER_FENCED' || this.#cluster.isClosed
      if (this.#options.autoCommit !== false && !fenced) {
        const { retryTimeoutMs } = this.#cluster.settings
        await this.#commit(this.#positions.uncommitted, Math.min(lastCommitTimeoutMs, retryTimeoutMs))
      }
    } finally {
      this.#giveUp(this.assignment, false)
      await this.#membership.leave()
      fetcher.close()
      this.#cluster.closeLane(this.#lane)
      this.#onClosed()
    }
  }
}
