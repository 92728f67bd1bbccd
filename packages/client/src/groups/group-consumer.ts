import type { Cluster } from '../cluster.ts'
import { iterateBatches } from '../consumer/batch-iteration.ts'
import { BatchReader } from '../consumer/batch-reader.ts'
import { ObservableConsumer } from '../consumer/consumer-events.ts'
import { type FetchSettings, fetchSettings } from '../consumer/fetch-settings.ts'
import { Fetcher, type OutOfRange } from '../consumer/fetcher.ts'
import type { PartitionLag } from '../consumer/lag.ts'
import { type Position, Positions } from '../consumer/positions.ts'
import { ReadingControl, type ReadingOwner } from '../consumer/reading-control.ts'
import type { SeekTarget } from '../consumer/seek.ts'
import { checkStartPosition, type ReadingRange } from '../consumer/start-position.ts'
import { abortedError, StreamBusError, sentenceOf } from '../errors.ts'
import { checkDeadLetterTopic } from '../handling/dead-letters.ts'
import { type DelayTopics, delayTopicsOf } from '../handling/delay-topics.ts'
import { type HandleOptions, type Handler, handleSettings } from '../handling/handle-options.ts'
import { HandlerRuns, type RunsOwner } from '../handling/handler-runs.ts'
import type { PartitionRuns } from '../handling/partition-runs.ts'
import { checkCommitPlace } from '../known-options.ts'
import type { TopicPartition } from '../list-offsets.ts'
import type { Message, MessageBatch } from '../message.ts'
import { positive } from '../options.ts'
import type { Coordinators } from './coordinators.ts'
import type { GroupConsumerOptions } from './group-consumer-options.ts'
import { type GroupMembership, groupMembership, type MembershipListener } from './group-membership.ts'
import type { CommittingMember } from './group-offsets.ts'
import { OffsetCommits } from './offset-commits.ts'
import { StartingPlaces } from './starting-places.ts'

/** How long the commit at the end may take. */
const lastCommitTimeoutMs = 5_000
let lanes = 0

/**
 * Reads topics as a member of a group. Iterate it once, by message or by batch, or give it a handler (`consume`):
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
export class GroupConsumer extends ObservableConsumer implements AsyncIterable<Message> {
  readonly #cluster: Cluster
  /** The membership has the same list: what is added before it starts is asked for, too. */
  readonly #topics: string[]
  readonly #options: GroupConsumerOptions
  readonly #fetchSettings: FetchSettings
  readonly #lane = `group ${++lanes}`
  readonly #offsetsLane = `${this.#lane} offsets`
  readonly #positions = new Positions()
  readonly #reader: BatchReader
  readonly #reading: ReadingControl
  readonly #membership: GroupMembership
  readonly #commits: OffsetCommits
  readonly #places: StartingPlaces
  readonly #unsubscribe: () => void
  readonly #onClosed: () => void
  readonly #beforeRevoke: () => Promise<void>
  #remaining: number
  /** Where the message or batch that the caller holds lies, and where to go on once it is processed. */
  #hand: Position | undefined
  #handNext = 0
  /** The rest of the batch in hand is not given out: its partition was paused or sought in. */
  #handCut = false
  #runs: PartitionRuns | undefined
  #handWaiters: (() => void)[] = []
  #settled = false
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
    super(cluster, options.group)
    this.#beforeRevoke = beforeRevoke
    checkStartPosition(options.from ?? 'earliest')
    if (options.until !== undefined && options.until !== 'end') {
      throw new StreamBusError('INVALID_ARGUMENT', `until can only be 'end', not ${String(options.until)}.`)
    }
    this.#cluster = cluster
    this.#onClosed = onClosed
    this.#topics = typeof topics === 'string' ? [topics] : [...topics]
    this.#options = options
    this.#remaining =
      options.limit === undefined ? Number.POSITIVE_INFINITY : positive('limit', options.limit)
    const interval = options.autoCommitIntervalMs ?? 5_000
    const autoCommitIntervalMs = interval === 0 ? 0 : positive('autoCommitIntervalMs', interval)
    this.#fetchSettings = fetchSettings(options)
    this.#reader = new BatchReader(this.#fetcher(this.#fetchSettings), options.verifyChecksums ?? true)
    this.#reading = new ReadingControl(
      cluster,
      this.#offsetsLane,
      this.#positions,
      this.#reader,
      this.events,
      this.#fetchSettings.isolation,
      options.until === 'end',
      this.#owner(),
    )
    this.#places = new StartingPlaces(
      cluster,
      coordinators,
      this.#offsetsLane,
      options,
      this.#fetchSettings.isolation,
      (error) => this.events.slowStart(error),
    )
    this.#membership = groupMembership(
      cluster,
      coordinators,
      this.#lane,
      options,
      this.#topics,
      this.#listener(),
    )
    this.#commits = new OffsetCommits(
      cluster,
      coordinators,
      this.#offsetsLane,
      options.group,
      this.#positions,
      this.#membership,
      {
        committed: (offsets) => this.events.emit('committed', { offsets }),
        fail: (error) => this.#fail(error),
      },
      options.autoCommit === false ? undefined : autoCommitIntervalMs,
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
   * Commits the offsets of everything that was given out, the message or batch in hand included; with a message, of
   * its partition and only up to it, itself included: for pipelines, in which others are given out before it is
   * processed. Rejects with PARTITIONS_LOST where the group has given the partition of one to another member
   * meanwhile, or with what the coordinator refuses.
   */
  async commit(upTo?: TopicPartition & { readonly offset: number }): Promise<void> {
    if (upTo !== undefined) return await this.#commitUpTo(upTo)
    this.#countHand()
    const due = this.#positions.uncommitted
    const held = this.#hand
    await this.#commits.commit(due)
    const lost =
      held?.state === 'gone' ? held : due.find((one) => one.state === 'gone' && one.next !== one.committed)
    if (lost !== undefined) {
      throw this.#lostBeforeCommit(lost)
    }
  }

  async #commitUpTo(message: TopicPartition & { readonly offset: number }): Promise<void> {
    checkCommitPlace(message)
    const position = this.#positions.get(message)
    // It may have come back meanwhile, and be read again from before the message.
    if (
      position === undefined ||
      message.offset >= (this.#runs?.readTo(position) ?? this.#givenTo(position))
    ) {
      throw this.#lostBeforeCommit(message)
    }
    await this.#commits.commitAt(position, message.offset + 1)
    if (position.state === 'gone') throw this.#lostBeforeCommit(message)
  }

  #lostBeforeCommit({ topic, partition }: TopicPartition): StreamBusError {
    return new StreamBusError(
      'PARTITIONS_LOST',
      `Group '${this.#options.group}' gave ${topic}/${partition} to another member before its offset was committed.`,
    )
  }

  #givenTo(position: Position): number {
    return position === this.#hand ? this.#handNext : position.next
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
   * Gives each message to a handler: so many at once, in the order of their partition or key, with retries and dead
   * letters as the options say. A message counts as processed when its handler has fulfilled, or its dead letter is
   * acknowledged, and an offset is committed when everything before it in its partition is processed (at least once).
   * Heartbeats and rebalances go on meanwhile: a partition that is taken away goes when the handlers that run for it
   * have ended, without further attempts.
   *
   * Resolves when the reading ends: by `limit`, `until: 'end'` or `close()`. Rejects with the error that stopped it:
   * HANDLER_FAILED (its cause is what the handler threw), DEAD_LETTER_FAILED, or what iterating throws.
   */
  async consume(handler: Handler, options: HandleOptions = {}): Promise<void> {
    const settings = handleSettings(options)
    checkDeadLetterTopic(settings.deadLetter?.topic, this.#topics)
    const delayTopics = delayTopicsOf(settings, this.#options, this.#topics)
    const runsOf = (owner: RunsOwner) => new HandlerRuns(handler, settings, { ...owner, delayTopics })
    await this.consumeBy(runsOf, delayTopics)
  }

  /** @internal */
  async consumeBy(runsOf: (owner: RunsOwner) => PartitionRuns, delayTopics?: DelayTopics): Promise<void> {
    const runs = runsOf({
      cluster: this.#cluster,
      events: this.events,
      group: this.#options.group,
      fetchSettings: this.#fetchSettings,
      verifyChecksums: this.#options.verifyChecksums ?? true,
      limit: this.#remaining,
      hold: (range, isHeld) => this.#reader.fetcher.hold(range, isHeld),
      advanced: (range, next) => this.#advanced(range, next),
      full: () => this.#reader.fetcher.interrupt(),
      fail: (error) => this.#fail(error),
    })
    this.#start()
    this.#runs = runs
    this.#places.wholeTopics = delayTopics?.names
    try {
      this.#topics.push(...((await delayTopics?.create(this.#cluster)) ?? []))
      await this.#handOut(runs)
    } catch (error) {
      throw await this.#closeAfter(error as StreamBusError)
    }
    await this.close()
    // A handler may have failed in the same moment as somebody else closed the consumer.
    if (this.#failure !== undefined) throw this.#failure
  }

  /**
   * Gives out nothing more of these partitions, or of all this consumer has now, until they are resumed; it stays a
   * member and keeps them. A partition that another rebalance brings back is not paused any more. Throws
   * INVALID_ARGUMENT for a partition it does not have.
   */
  pause(partitions: readonly TopicPartition[] = this.assignment): void {
    this.#reading.pause(partitions)
  }

  /** Goes on with what was paused. Throws INVALID_ARGUMENT for a partition this consumer does not have. */
  resume(partitions: readonly TopicPartition[] = this.assignment): void {
    this.#reading.resume(partitions)
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
    this.#reading.stop(partitions)
    this.#positions.remove(partitions)
    this.#dropHand()
    this.#reader.fetcher.add(await this.#begin(partitions))
  }

  /**
   * Goes on at another place in a partition this consumer has. Nothing from before is given out once this is called;
   * what is with a handler ends, is not tried again, and does not count. Resolves when the place is known, or when the
   * partition went to another member meanwhile. The position is committed as if everything before it was processed.
   * Rejects with INVALID_ARGUMENT for a partition the consumer does not have; where the place cannot be looked up,
   * with the error of that, and reading goes on where it was.
   */
  seek(target: SeekTarget): Promise<void> {
    return this.#reading.seek(target)
  }

  /** How far this consumer is behind, for each partition it reads. */
  lag(): Promise<PartitionLag[]> {
    return this.#reading.lag()
  }

  /**
   * Ends the iteration: commits what was processed, and leaves the group. Rejects where the commit failed. Handlers that
   * run are told by their signal, and waited for up to `closeTimeoutMs`. With `order: 'key'`, messages before one that
   * was started are handled in that time, too, so that nothing that was handled comes again; unless one is left
   * unhandled, or time runs out: then up to `maxAheadMessages` of a partition do.
   */
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
    if (this.#closing !== undefined) throw new StreamBusError('CLOSED', 'The consumer was closed.')
    this.#started = true
  }

  async #leave<T>(): Promise<IteratorResult<T>> {
    this.#dropHand()
    await this.close()
    return { value: undefined, done: true }
  }

  /** Resolves when everything that was asked for is handled. */
  async #handOut(runs: PartitionRuns): Promise<void> {
    if (this.#options.signal?.aborted) throw abortedError(this.#options.signal)
    await this.#open()
    while (this.#closing === undefined) {
      if (this.#failure !== undefined) throw this.#failure
      if (runs.isFull) {
        if (runs.isDrained) return
        await runs.change()
        continue
      }
      if (this.#options.until === 'end' && this.#settled && this.#positions.atEnd) return
      if (!runs.hasRoom) {
        await runs.change()
        continue
      }
      const fetched = await this.#reader.fetcher.next()
      if (fetched !== undefined && this.#closing === undefined && this.#reading.mayGiveOut(fetched.range)) {
        runs.add(fetched)
      }
    }
  }

  #advanced(range: ReadingRange, next: number): void {
    const position = this.#positions.get(range)
    if (position?.range !== range) return
    position.next = next
    this.#commits.schedule()
    if (next >= range.end) this.#reader.fetcher.interrupt()
  }

  /** Returns the error to throw: the first that was in the way. */
  async #closeAfter(error: StreamBusError): Promise<StreamBusError> {
    this.#failure ??= error
    const failure = this.#failure
    await this.close().catch((second) => this.#cluster.settings.logger.warn(sentenceOf(second)))
    return failure
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
    if (this.#hand?.state !== 'owned' || this.#handCut) return false
    if (this.#closing !== undefined || this.#failure !== undefined) return false
    this.#countHand()
    this.#commits.schedule()
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
        this.#commits.schedule()
        if (this.#options.until === 'end' && this.#settled && this.#positions.atEnd) break
        const read = await this.#reader.next(this.#remaining)
        if (read === undefined || this.#closing !== undefined) continue
        // What is dropped here is read again: by whoever owns the partition now, or from where it goes on.
        if (!this.#reading.mayGiveOut(read.range)) continue
        const position = this.#positions.get(read) as Position
        const { topic, partition, messages, highWatermark, nextOffset } = read
        if (messages.length === 0) {
          position.next = nextOffset
          continue
        }
        this.#remaining -= messages.length
        this.#hand = position
        this.#handNext = nextOffset
        this.#handCut = false
        const batch = { topic, partition, messages, highWatermark }
        onOpen?.(batch)
        this.events.received(batch)
        return batch
      }
    } catch (error) {
      throw await this.#closeAfter(error as StreamBusError)
    }
    await this.close()
    return undefined
  }

  async #open(): Promise<void> {
    if (this.#opened) return
    const { signal } = this.#options
    const onRetry = (error: StreamBusError) => this.events.slowStart(error)
    for (const name of this.#topics) await this.#cluster.topic(name, { signal, onRetry })
    this.events.started()
    this.#opened = true
    if (this.#closing === undefined) this.#membership.start()
  }

  #fetcher(settings: FetchSettings): Fetcher {
    return new Fetcher(this.#cluster, `${this.#lane} fetch`, settings, [], {
      staysOpen: true,
      onOutOfRange: (place) => this.#afterOutOfRange(place),
      onStalled: ({ topic, partition }, error) => {
        this.events.stalled(`${topic}/${partition}`, { cause: 'partition', topic, partition, error })
      },
      onRecovered: ({ topic, partition }) => this.events.recovered(`${topic}/${partition}`),
      observer: this.#options.observer,
    })
  }

  #owner(): ReadingOwner {
    return {
      name: `This consumer of group '${this.#options.group}'`,
      runs: () => this.#runs,
      isClosing: () => this.#closing !== undefined,
      givenTo: (position) => this.#givenTo(position),
      cutHand: (position) => {
        if (position === this.#hand) this.#handCut = true
      },
      dropHand: (position) => {
        if (position === this.#hand) this.#dropHand()
      },
      moved: () => this.#commits.schedule(),
    }
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
      stalled: (error) => {
        this.events.stalled('coordinator', { cause: 'coordinator', group: this.#options.group, error })
      },
      recovered: () => this.events.recovered('coordinator'),
      fail: (error) => this.#fail(error),
    }
  }

  async #assign(partitions: readonly TopicPartition[]): Promise<void> {
    this.#settled = false
    const current = await this.#begin(partitions)
    if (this.#closing !== undefined) return
    const assigned = current.map(({ topic, partition }) => ({ topic, partition }))
    this.#options.onAssigned?.(assigned)
    this.events.emit('assigned', { partitions: assigned })
    // Whoever was told may have paused some, or sought another place.
    this.#reader.fetcher.add(current.filter((range) => this.#reading.mayGiveOut(range)))
    this.#commits.schedule()
  }

  /** Finds out where to read these partitions from. Those taken away meanwhile are left out. */
  async #begin(partitions: readonly TopicPartition[]): Promise<ReadingRange[]> {
    const added = this.#positions.add(partitions)
    const ranges = await this.#places.rangesOf(added)
    this.events.started()
    return ranges.filter((range) => {
      const position = this.#positions.get(range)
      if (position === undefined || !added.includes(position) || position.state !== 'owned') return false
      if (position.seeks > 0) return true
      position.range = range
      position.next = range.start
      return true
    })
  }

  /** The log does not reach back to the committed offset, or was made anew and does not reach so far. */
  async #afterOutOfRange(place: OutOfRange): Promise<number | undefined> {
    const offset = await this.#places.afterOutOfRange(place)
    if (offset === undefined) return undefined
    const current = this.#positions.get(place)
    const isHeld = this.#runs === undefined ? current === this.#hand : !this.#runs.isIdle(place)
    if (current !== undefined && !isHeld) current.next = offset
    return offset
  }

  async #revoke(partitions: readonly TopicPartition[]): Promise<void> {
    this.#settled = false
    if (partitions.length === 0) return
    const leaving = this.#positions.hold(partitions)
    this.#reading.stop(partitions)
    await this.#beforeRevoke()
    await this.#handIsNot(leaving)
    await this.#runs?.finish(partitions)
    if (this.#options.autoCommit !== false) await this.#commits.commitIfReachable(leaving)
    this.#giveUp(partitions, false)
  }

  #lose(partitions: readonly TopicPartition[]): void {
    this.#reading.stop(partitions)
    const sentence = `Group '${this.#options.group}' gave the partition to another member.`
    this.#runs?.drop(partitions, new StreamBusError('PARTITIONS_LOST', sentence))
    this.#giveUp(partitions, true)
    for (const resolve of this.#handWaiters.splice(0)) resolve()
  }

  #giveUp(partitions: readonly TopicPartition[], lost: boolean): void {
    const still = partitions.filter((one) => this.#positions.get(one) !== undefined)
    this.#positions.remove(still)
    if (still.length === 0) return
    this.#options.onRevoked?.(still, lost)
    this.events.emit(lost ? 'lost' : 'revoked', { partitions: still })
  }

  /** Resolves when the caller holds nothing of these partitions, or has lost it. */
  async #handIsNot(positions: readonly Position[]): Promise<void> {
    while (this.#hand !== undefined && this.#hand.state === 'leaving' && positions.includes(this.#hand)) {
      await new Promise<void>((resolve) => this.#handWaiters.push(resolve))
    }
  }

  #fail(error: StreamBusError): void {
    // What is given up because the consumer closes is no failure of it: its last commit tells what is missing.
    if (this.#closing !== undefined && error.code === 'CLOSED') return
    this.#failure ??= error
    this.#commits.stop()
    this.#reader.fetcher.interrupt()
    this.#runs?.wake()
    for (const resolve of this.#handWaiters.splice(0)) resolve()
  }

  async #shutDown(): Promise<void> {
    this.#unsubscribe()
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    this.#commits.stop()
    const { fetcher } = this.#reader
    fetcher.interrupt()
    await this.#beforeRevoke()
    this.#dropHand()
    const reason = this.#failure ?? new StreamBusError('CLOSED', 'The consumer was closed.')
    await this.#runs?.stop(reason, this.#failure === undefined)
    try {
      const fenced = this.#failure?.code === 'MEMBER_FENCED' || this.#cluster.isClosed
      if (this.#options.autoCommit !== false && !fenced) {
        const { retryTimeoutMs } = this.#cluster.settings
        await this.#commits.commit(this.#positions.uncommitted, Math.min(lastCommitTimeoutMs, retryTimeoutMs))
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
