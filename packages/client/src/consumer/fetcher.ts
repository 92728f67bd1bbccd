/**
 * Reads partitions ahead of the consumer: one Fetch request per leading broker is out at any time, as long as
 * what has arrived and is not consumed stays below `prefetchBytes`. That request waits for new messages, and what is to
 * be read besides (after a seek, a pause, or when a full partition has room again) does not wait for it: a second one,
 * on a connection of its own, asks for what is there already.
 *
 * Never silent: what cannot be read is tried again with growing pauses, with the view of the cluster renewed,
 * and past `retryTimeoutMs` without success the consumer gets the error. So it does when the broker reports
 * records but sends none.
 */
import { batchEndOffset, batchesIn, batchHeader, type FetchResponse, fetch } from '@streambus/protocol'
import { backoffMs } from '../backoff.ts'
import type { Cluster } from '../cluster.ts'
import { brokerError, isStreamBusError, StreamBusError, sentenceOf } from '../errors.ts'
import type { GroupObserver } from '../groups/group-observer.ts'
import { findOffsets, isolationLevels, noLeader, type TopicPartition } from '../list-offsets.ts'
import type { AbortedTransaction } from './aborted-transactions.ts'
import type { FetchSettings } from './fetch-settings.ts'
import type { ReadingRange } from './start-position.ts'

/** What consumers do differently. */
export interface FetcherOptions {
  /** Go on waiting when there is nothing to read: partitions may be added. Default false. */
  readonly staysOpen?: boolean
  /**
   * Where to go on when the log does not hold the position (any more). Undefined: the reading fails with
   * OFFSET_OUT_OF_RANGE, as it always does without this.
   */
  readonly onOutOfRange?: (place: OutOfRange) => Promise<number | undefined>
  /** Told when a partition cannot be read for now, with each attempt, and when it can be read again. */
  readonly onStalled: (partition: TopicPartition, error: StreamBusError) => void
  readonly onRecovered: (partition: TopicPartition) => void
  readonly observer?: GroupObserver | undefined
}

export interface OutOfRange extends TopicPartition {
  readonly position: number
  /** First offset held, and the one the next record gets. */
  readonly earliest: number
  readonly latest: number
  /** The topic was deleted and made anew: the position is one in the log before. */
  readonly isNewTopic: boolean
}

/** Whole record batches of one partition, as they arrived. */
export interface FetchedRecords {
  /** The one that was asked for, by identity: a partition may be removed and added again. */
  readonly range: ReadingRange
  readonly topic: string
  readonly partition: number
  readonly bytes: Uint8Array
  /** Records outside `from` (inclusive) to `end` (exclusive) were not asked for: batches come whole. */
  readonly from: number
  readonly end: number
  readonly highWatermark: number
  /** Transactions among them that were aborted; their records are not to be delivered. */
  readonly aborted: readonly AbortedTransaction[]
}

interface Cursor {
  readonly range: ReadingRange
  readonly topic: string
  readonly partition: number
  readonly end: number
  /** A topic that was made anew under its name has another id. Undefined where it is not known, or there are none. */
  topicId: string | undefined
  /** The position is one in the log of the topic with this id: the broker has answered for it. */
  isOfTopicId: boolean
  position: number
  /** End of the log as of the last answer; -1 before the first. */
  highWatermark: number
  isHeld: boolean
  /** A request for it is out. */
  isAsked: boolean
  /** The last answer had nothing for it: there is nothing to read before something is written. */
  isAtEnd: boolean
  maxBytes: number
  resumeAtMs: number
  failedAttempts: number
  /** Since when there is no progress although there should be; undefined while all is well. */
  failingSinceMs: number | undefined
  /** Since when it stands before an open transaction; undefined where it does not. */
  heldBackSinceMs: number | undefined
}

type PartitionAnswer = FetchResponse['responses'][number]['partitions'][number]

/** From version 13 on topics are named by id (KIP-516): a topic that was made anew is not taken for the one before. */
const maxFetchVersion = 13
const lastVersionWithNames = 12
const OFFSET_OUT_OF_RANGE = 1
/** A topic that is deleted while it is read is reported after this time. */
const unknownTopicPatienceMs = 3_000

export class Fetcher {
  readonly #cluster: Cluster
  readonly #lane: string
  readonly #settings: FetchSettings
  readonly #options: FetcherOptions
  /** What is still to be read; those served move to the end, so that all get their turn. */
  #cursors: Cursor[]
  /** Leaders with a request that waits for messages, and those with one that does not. */
  readonly #waiting = new Set<number>()
  readonly #hurrying = new Set<number>()
  /** Why a topic is not in the view of the cluster, by its name. */
  readonly #topicFailures = new Map<string, StreamBusError>()
  #arrived: FetchedRecords[] = []
  #bufferedBytes = 0
  #failure: StreamBusError | undefined
  #waiter: (() => void) | undefined
  #wake: NodeJS.Timeout | undefined
  #interrupted = false
  #closed = false

  constructor(
    cluster: Cluster,
    lane: string,
    settings: FetchSettings,
    ranges: readonly ReadingRange[],
    options: FetcherOptions,
  ) {
    this.#cluster = cluster
    this.#lane = lane
    this.#settings = settings
    this.#options = options
    this.#cursors = this.#cursorsOf(ranges)
    cluster.metrics.fetchers.add(this)
  }

  /** Bytes that have arrived and were not taken. */
  get prefetchedBytes(): number {
    return this.#bufferedBytes
  }

  /** For each partition, how many messages lie between what was taken of it and the end of its log. */
  *lagByTopic(): Iterable<readonly [topic: string, messages: number]> {
    const takenTo = new Map<ReadingRange, number>()
    for (const { range, from } of this.#arrived) if (!takenTo.has(range)) takenTo.set(range, from)
    for (const { range, topic, position, highWatermark } of this.#cursors) {
      yield [topic, Math.max(0, highWatermark - (takenTo.get(range) ?? position))]
    }
  }

  /** Reads these, too. */
  add(ranges: readonly ReadingRange[]): void {
    this.#cursors.push(...this.#cursorsOf(ranges))
    this.#pump()
  }

  /** Reads these no more; what has arrived of them is dropped, and what is still to arrive, too. */
  remove(partitions: readonly TopicPartition[]): void {
    const removed = new Set(partitions.map(({ topic, partition }) => `${topic}/${partition}`))
    const stays = ({ topic, partition }: TopicPartition) => !removed.has(`${topic}/${partition}`)
    this.#cursors = this.#cursors.filter(stays)
    this.#arrived = this.#arrived.filter(stays)
    this.#bufferedBytes = this.#arrived.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
    this.#pump()
  }

  /** While it is held, nothing more is asked for of a range; what is on its way arrives. */
  hold(range: ReadingRange, isHeld: boolean): void {
    const cursor = this.#cursors.find((one) => one.range === range)
    if (cursor === undefined || cursor.isHeld === isHeld) return
    cursor.isHeld = isHeld
    if (!isHeld) this.#pump()
  }

  /**
   * The next records; undefined when every partition is read to its end, when the fetcher was closed, or after
   * `interrupt`. What arrived before a failure is given out before the failure is thrown.
   */
  async next(): Promise<FetchedRecords | undefined> {
    for (;;) {
      if (this.#interrupted) {
        this.#interrupted = false
        return undefined
      }
      const records = this.#arrived.shift()
      if (records !== undefined) {
        this.#bufferedBytes -= records.bytes.byteLength
        this.#pump()
        return records
      }
      if (this.#failure !== undefined) throw this.#failure
      if (this.#closed) return undefined
      if (this.#cursors.length === 0 && this.#options.staysOpen !== true) return undefined
      this.#pump()
      await new Promise<void>((resolve) => {
        this.#waiter = resolve
      })
    }
  }

  close(): void {
    this.#closed = true
    this.#cluster.metrics.fetchers.delete(this)
    this.#arrived.length = 0
    this.#bufferedBytes = 0
    clearTimeout(this.#wake)
    this.#cluster.closeLane(this.#lane)
    this.#notify()
  }

  /** Lets whoever waits in `next` look around. */
  interrupt(): void {
    this.#interrupted = true
    this.#notify()
  }

  fail(error: StreamBusError): void {
    this.#failure ??= error
    this.#notify()
  }

  #notify(): void {
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter?.()
  }

  #cursorsOf(ranges: readonly ReadingRange[]): Cursor[] {
    return ranges
      .filter(({ start, end }) => start < end)
      .map((range) => ({
        range,
        topic: range.topic,
        partition: range.partition,
        end: range.end,
        topicId: undefined,
        isOfTopicId: false,
        position: range.start,
        highWatermark: -1,
        isHeld: false,
        isAsked: false,
        isAtEnd: false,
        maxBytes: this.#settings.maxPartitionBytes,
        resumeAtMs: 0,
        failedAttempts: 0,
        failingSinceMs: undefined,
        heldBackSinceMs: undefined,
      }))
  }

  /** Those that were not removed while their request was under way: for the others its answer counts no more. */
  #stillRead(cursors: readonly Cursor[]): Cursor[] {
    const current = new Set(this.#cursors)
    return cursors.filter((cursor) => current.has(cursor))
  }

  /** Starts every fetch that can be started now. */
  #pump(): void {
    if (this.#closed || this.#failure !== undefined || this.#bufferedBytes >= this.#settings.prefetchBytes)
      return
    const nowMs = performance.now()
    const toAsk = new Map<number, Cursor[]>()
    const toHurry = new Map<number, Cursor[]>()
    let wakeAtMs = Number.POSITIVE_INFINITY
    for (const cursor of this.#cursors) {
      if (cursor.isHeld || cursor.isAsked) continue
      if (cursor.resumeAtMs > nowMs) {
        wakeAtMs = Math.min(wakeAtMs, cursor.resumeAtMs)
        continue
      }
      const leader = this.#cluster.leaderOf(cursor.topic, cursor.partition)
      if (leader < 0) {
        const { topic, partition } = cursor
        this.#onFailure([cursor], this.#topicFailures.get(topic) ?? noLeader(topic, partition))
        wakeAtMs = Math.min(wakeAtMs, cursor.resumeAtMs)
      } else if (!this.#waiting.has(leader) || (!cursor.isAtEnd && !this.#hurrying.has(leader))) {
        const byLeader = this.#waiting.has(leader) ? toHurry : toAsk
        const cursors = byLeader.get(leader)
        if (cursors === undefined) byLeader.set(leader, [cursor])
        else cursors.push(cursor)
      }
    }
    for (const [leader, cursors] of toAsk) void this.#fetch(leader, cursors, false)
    for (const [leader, cursors] of toHurry) void this.#fetch(leader, cursors, true)
    clearTimeout(this.#wake)
    if (wakeAtMs < Number.POSITIVE_INFINITY) {
      this.#wake = setTimeout(() => this.#pump(), Math.ceil(wakeAtMs - nowMs))
    }
  }

  /** Never rejects: what goes wrong becomes the failure of the cursors. */
  async #fetch(leader: number, cursors: readonly Cursor[], isHurried: boolean): Promise<void> {
    const asked = isHurried ? this.#hurrying : this.#waiting
    asked.add(leader)
    for (const cursor of cursors) {
      cursor.isAsked = true
      // Unless the answer says otherwise: what it leaves out is not asked for in haste again and again.
      cursor.isAtEnd = true
    }
    const maxWaitMs = isHurried ? 0 : this.#settings.maxWaitMs
    try {
      const lane = isHurried ? `${this.#lane} hurried` : this.#lane
      const connection = await this.#cluster.connectionTo(leader, lane)
      const byTopic = new Map<string, Cursor[]>()
      for (const cursor of cursors) {
        cursor.topicId ??= this.#cluster.idOf(cursor.topic)
        const key = `${cursor.topic} ${cursor.topicId}`
        const ofTopic = byTopic.get(key)
        if (ofTopic === undefined) byTopic.set(key, [cursor])
        else ofTopic.push(cursor)
      }
      const haveIds = cursors.every(({ topicId }) => topicId !== undefined)
      const askedAtMs = performance.now()
      this.#options.observer?.fetching(leader)
      const answer = await connection.request(
        fetch,
        {
          maxWaitMs,
          minBytes: this.#settings.minBytes,
          maxBytes: this.#settings.maxBytes,
          isolationLevel: isolationLevels[this.#settings.isolation],
          topics: [...byTopic.values()].map((ofTopic) => ({
            topic: ofTopic[0]!.topic,
            ...(haveIds ? { topicId: ofTopic[0]!.topicId as string } : {}),
            partitions: ofTopic.map(({ partition, position, maxBytes }) => ({
              partition,
              fetchOffset: BigInt(position),
              partitionMaxBytes: maxBytes,
            })),
          })),
          forgottenTopicsData: [],
        },
        {
          maxVersion: haveIds ? maxFetchVersion : lastVersionWithNames,
          timeoutMs: maxWaitMs + this.#cluster.settings.requestTimeoutMs,
        },
      )
      if (this.#closed) return
      this.#options.observer?.fetched(leader, performance.now() - askedAtMs)
      if (answer.errorCode !== 0) throw brokerError(answer.errorCode, 'Cannot fetch')
      this.#onAnswer(cursors, answer, isHurried)
    } catch (error) {
      if (this.#closed) return
      this.#onFailure(
        this.#stillRead(cursors),
        isStreamBusError(error)
          ? error
          : new StreamBusError('CORRUPT_DATA', `An answer cannot be read: ${sentenceOf(error)}.`, {
              cause: error,
            }),
      )
    } finally {
      asked.delete(leader)
      for (const cursor of cursors) cursor.isAsked = false
      this.#pump()
    }
  }

  #onAnswer(cursors: readonly Cursor[], answer: FetchResponse, isHurried: boolean): void {
    const asked = new Map(
      this.#stillRead(cursors).map((cursor) => [`${cursor.topic}/${cursor.partition}`, cursor]),
    )
    const names = new Map(cursors.map(({ topicId, topic }) => [topicId, topic]))
    let anyRecords = false
    const held: Cursor[] = []
    for (const { topic, topicId, partitions } of answer.responses) {
      const name = topic === '' ? names.get(topicId) : topic
      for (const partition of partitions) {
        const cursor = asked.get(`${name}/${partition.partitionIndex}`)
        if (cursor === undefined) continue
        cursor.isAtEnd = (partition.records?.byteLength ?? 0) === 0
        if (partition.errorCode === 0) {
          cursor.isOfTopicId = true
          cursor.highWatermark = Number(partition.highWatermark)
        }
        if (partition.errorCode === OFFSET_OUT_OF_RANGE) {
          void this.#onOutOfRange(cursor, false)
        } else if (partition.errorCode !== 0) {
          const doing = `Cannot read ${cursor.topic}/${cursor.partition} at offset ${cursor.position}`
          this.#onFailure([cursor], brokerError(partition.errorCode, doing))
        } else if ((partition.records?.byteLength ?? 0) > 0) {
          anyRecords = true
          this.#onRecords(cursor, partition)
        } else if (!isHurried && this.#readableEnd(partition) > cursor.position) {
          held.push(cursor)
        } else {
          this.#onProgress(cursor)
          this.#onNothing(cursor, partition)
        }
      }
    }
    // An answer is bounded, so a partition may go empty-handed when others got something, but not when none did.
    if (anyRecords || held.length === 0) return
    for (const cursor of held) {
      const place = `${cursor.topic}/${cursor.partition} at offset ${cursor.position}`
      const message = `The broker has records of ${place} but does not send them.`
      this.#onFailure([cursor], new StreamBusError('NO_PROGRESS', message, { retriable: true }))
    }
  }

  /** The offset up to which the broker sends records: open transactions are held back from who reads committed. */
  #readableEnd({ highWatermark, lastStableOffset }: PartitionAnswer): number {
    const holdsBack = this.#settings.isolation === 'read_committed' && lastStableOffset >= 0n
    return Number(holdsBack ? lastStableOffset : highWatermark)
  }

  #onRecords(cursor: Cursor, { records, highWatermark, abortedTransactions }: PartitionAnswer): void {
    const bytes = records as Uint8Array
    let wholeBytes = 0
    let batches = 0
    let messages = 0
    let nextOffset = cursor.position
    for (const { position, byteLength } of batchesIn(bytes)) {
      nextOffset = batchEndOffset(bytes, position)
      wholeBytes = position + byteLength
      batches++
      if (!batchHeader.isControl(bytes, position)) messages += batchHeader.recordCount(bytes, position)
    }
    if (!Number.isSafeInteger(nextOffset)) {
      const place = `${cursor.topic}/${cursor.partition}`
      this.fail(new StreamBusError('OFFSET_NOT_EXACT', `Offsets of ${place} are above 2^53 - 1.`))
      return
    }
    if (wholeBytes === 0) {
      this.#growFor(cursor, bytes.byteLength)
      return
    }
    if (nextOffset <= cursor.position) {
      const place = `${cursor.topic}/${cursor.partition} at offset ${cursor.position}`
      this.fail(new StreamBusError('NO_PROGRESS', `The broker answers ${place} with records before it.`))
      return
    }
    const { range, topic, partition, end } = cursor
    this.#arrived.push({
      range,
      topic,
      partition,
      bytes: bytes.subarray(0, wholeBytes),
      from: cursor.position,
      end,
      highWatermark: Number(highWatermark),
      aborted: (abortedTransactions ?? []).map(({ producerId, firstOffset }) => ({
        producerId: Number(producerId),
        firstOffset: Number(firstOffset),
      })),
    })
    const counters = this.#cluster.metrics.topic(topic)
    counters.receivedMessages += messages
    counters.receivedBatches += batches
    counters.receivedBytes += wholeBytes
    this.#bufferedBytes += wholeBytes
    cursor.position = nextOffset
    cursor.failedAttempts = 0
    this.#onProgress(cursor)
    this.#onNotHeldBack(cursor)
    this.#cursors = this.#cursors.filter((one) => one !== cursor)
    if (nextOffset < end) this.#cursors.push(cursor)
    this.#notify()
  }

  /** Brokers older than KIP-74 cut a batch that is larger than what was asked for: ask for more. */
  #growFor(cursor: Cursor, arrivedBytes: number): void {
    if (cursor.maxBytes * 2 > this.#cluster.settings.maxFrameBytes) {
      const place = `${cursor.topic}/${cursor.partition} at offset ${cursor.position}`
      const message = `The batch of ${place} is larger than ${arrivedBytes} bytes; raise maxFrameBytes.`
      this.fail(new StreamBusError('MESSAGE_TOO_LARGE', message))
      return
    }
    cursor.maxBytes *= 2
  }

  /**
   * A cursor that was told another id than it has read by goes on in another log. One that has read nothing yet was only
   * made with an old view of the cluster.
   */
  #checkTopicId(cursor: Cursor): void {
    const topicId = this.#cluster.idOf(cursor.topic)
    if (topicId === undefined || cursor.topicId === undefined || topicId === cursor.topicId) return
    cursor.topicId = topicId
    cursor.resumeAtMs = 0
    if (!cursor.isOfTopicId) return
    cursor.isOfTopicId = false
    void this.#onOutOfRange(cursor, true)
  }

  /** Never rejects: what goes wrong fails the consumer. */
  async #onOutOfRange(cursor: Cursor, isNewTopic: boolean): Promise<void> {
    const { topic, partition, position } = cursor
    cursor.resumeAtMs = Number.POSITIVE_INFINITY
    const found = await this.#rangeOf(cursor)
    try {
      // An end was that of the log before.
      const goesOn = found !== undefined && !(isNewTopic && cursor.end < Number.POSITIVE_INFINITY)
      const place = goesOn ? { topic, partition, position, isNewTopic, ...found } : undefined
      const resumeAt = place && (await this.#options.onOutOfRange?.(place))
      if (resumeAt !== undefined) {
        cursor.position = resumeAt
        cursor.resumeAtMs = 0
        cursor.isAtEnd = false
        this.#pump()
        return
      }
    } catch (error) {
      this.fail(error as StreamBusError)
      return
    }
    if (this.#stillRead([cursor]).length === 0) return
    if (isNewTopic) {
      const sentence = `Topic '${topic}' was deleted and made anew while it was read: offset ${position} of ${topic}/${partition} is not the one it was.`
      this.fail(new StreamBusError('TOPIC_RECREATED', sentence))
      return
    }
    const range = found === undefined ? '' : `: ${rangeSentence(found)}`
    const message = `Offset ${position} of ${topic}/${partition} is out of range${range}.`
    this.fail(new StreamBusError('OFFSET_OUT_OF_RANGE', message, { brokerError: 'OFFSET_OUT_OF_RANGE' }))
  }

  async #rangeOf({ topic, partition }: Cursor): Promise<{ earliest: number; latest: number } | undefined> {
    try {
      const at = ['earliest', 'latest'] as const
      const [earliest, latest] = await findOffsets(
        this.#cluster,
        this.#lane,
        at.map((one) => ({ topic, partition, at: one })),
        { timeoutMs: 2_000 },
      )
      return { earliest: earliest!.offset as number, latest: latest!.offset as number }
    } catch (error) {
      this.#cluster.settings.logger.debug(
        `The range of ${topic}/${partition} is not known: ${sentenceOf(error)}`,
      )
      return undefined
    }
  }

  #onProgress(cursor: Cursor): void {
    if (cursor.failingSinceMs === undefined) return
    cursor.failingSinceMs = undefined
    this.#options.onRecovered(cursor)
  }

  /** There may be more, which a transaction holds back: for how long, its producer decides. */
  #onNothing(cursor: Cursor, { highWatermark }: PartitionAnswer): void {
    const { topic, partition, position } = cursor
    if (Number(highWatermark) <= position) {
      this.#onNotHeldBack(cursor)
      return
    }
    const nowMs = performance.now()
    cursor.heldBackSinceMs ??= nowMs
    if (nowMs - cursor.heldBackSinceMs < this.#cluster.settings.retryTimeoutMs) return
    const sentence = `A transaction is open at offset ${position} of ${topic}/${partition}: what lies behind, up to offset ${highWatermark}, is not read before it ends.`
    this.#options.onStalled(cursor, new StreamBusError('TRANSACTION_OPEN', sentence))
  }

  #onNotHeldBack(cursor: Cursor): void {
    if (cursor.heldBackSinceMs === undefined) return
    cursor.heldBackSinceMs = undefined
    this.#options.onRecovered(cursor)
  }

  #onFailure(cursors: readonly Cursor[], error: StreamBusError): void {
    if (cursors.length === 0) return
    if (!error.retriable) {
      this.fail(error)
      return
    }
    const nowMs = performance.now()
    const { retryTimeoutMs, backoff } = this.#cluster.settings
    let delayMs = 0
    const patienceMs =
      error.code === 'UNKNOWN_TOPIC' ? Math.min(unknownTopicPatienceMs, retryTimeoutMs) : retryTimeoutMs
    for (const cursor of cursors) {
      cursor.failingSinceMs ??= nowMs
      if (nowMs - cursor.failingSinceMs > patienceMs) {
        this.fail(error)
        return
      }
      this.#options.onStalled(cursor, error)
      cursor.isAtEnd = false
      delayMs = backoffMs(cursor.failedAttempts++, backoff)
      cursor.resumeAtMs = nowMs + delayMs
    }
    const [first] = cursors
    const place = cursors.length === 1 ? { topic: first!.topic, partition: first!.partition } : {}
    this.#cluster.noteRetry({ operation: 'fetch', error, delayMs, ...place })
    const topics = [...new Set(cursors.map(({ topic }) => topic))]
    this.#cluster.refresh(topics).then(
      (answers) => {
        for (const [topic, answer] of answers) {
          if (answer instanceof StreamBusError) this.#topicFailures.set(topic, answer)
          else this.#topicFailures.delete(topic)
        }
        for (const cursor of this.#stillRead(cursors)) this.#checkTopicId(cursor)
        this.#pump()
      },
      (failure: unknown) => this.#cluster.settings.logger.debug(sentenceOf(failure)),
    )
  }
}

function rangeSentence({ earliest, latest }: { earliest: number; latest: number }): string {
  if (earliest === latest) return `its log is empty, the next offset is ${latest}`
  return `its log holds offsets ${earliest} to ${latest - 1}, the next one is ${latest}`
}
