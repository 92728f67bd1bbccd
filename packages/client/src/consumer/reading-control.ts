/**
 * Pauses, seeks and lag of the partitions a consumer reads, with a group or without. What is read of a partition
 * belongs to a range; a pause or a seek makes another one, and whatever still arrives of the one before is dropped.
 */
import type { Cluster } from '../cluster.ts'
import { StreamBusError } from '../errors.ts'
import type { PartitionRuns } from '../handling/partition-runs.ts'
import type { Isolation, TopicPartition } from '../list-offsets.ts'
import type { BatchReader } from './batch-reader.ts'
import type { ConsumerEventEmitter } from './consumer-events.ts'
import { lagOf, type PartitionLag } from './lag.ts'
import type { Position, Positions } from './positions.ts'
import { checkSeekTarget, type SeekTarget, soughtOffset } from './seek.ts'
import { endsOf, type ReadingRange } from './start-position.ts'

/** Whoever gives out the messages. */
export interface ReadingOwner {
  /** Names the consumer, as the beginning of a sentence. */
  readonly name: string
  /** Undefined where there is no handler. */
  runs(): PartitionRuns | undefined
  isClosing(): boolean
  /** Where to go on behind what was given out. */
  givenTo(position: Position): number
  /** What the caller holds of the partition stays; the rest of its batch is not given out. */
  cutHand(position: Position): void
  /** What the caller holds of the partition does not count. */
  dropHand(position: Position): void
  /** A seek has changed where the partition goes on. */
  moved(): void
}

export class ReadingControl {
  readonly #cluster: Cluster
  readonly #lane: string
  readonly #positions: Positions
  readonly #reader: BatchReader
  readonly #events: ConsumerEventEmitter
  readonly #isolation: Isolation
  readonly #untilEnd: boolean
  readonly #owner: ReadingOwner

  /** @param lane of the questions for offsets, which must not wait behind a long poll */
  constructor(
    cluster: Cluster,
    lane: string,
    positions: Positions,
    reader: BatchReader,
    events: ConsumerEventEmitter,
    isolation: Isolation,
    untilEnd: boolean,
    owner: ReadingOwner,
  ) {
    this.#cluster = cluster
    this.#lane = lane
    this.#positions = positions
    this.#reader = reader
    this.#events = events
    this.#isolation = isolation
    this.#untilEnd = untilEnd
    this.#owner = owner
  }

  /** False for what was read for an assignment that is over, or before a pause or a seek. */
  mayGiveOut(range: ReadingRange): boolean {
    const position = this.#positions.get(range)
    return position?.state === 'owned' && position.range === range && !position.isPaused
  }

  pause(partitions: readonly TopicPartition[]): void {
    const positions = partitions.map((one) => this.#known(one)).filter((one) => !one.isPaused)
    for (const position of positions) {
      position.isPaused = true
      this.#owner.cutHand(position)
    }
    this.stop(positions)
    this.#owner.runs()?.pause(positions)
  }

  resume(partitions: readonly TopicPartition[]): void {
    const paused = partitions.map((one) => this.#known(one)).filter((one) => one.isPaused)
    for (const position of paused) {
      position.isPaused = false
      if (position.range === undefined) continue
      const start = this.#owner.runs()?.readTo(position) ?? this.#owner.givenTo(position)
      this.#readFrom(position, start, position.range.end)
    }
  }

  async seek(target: SeekTarget): Promise<void> {
    checkSeekTarget(target)
    const position = this.#known(target)
    const seek = ++position.seeks
    // A later seek to another place, or a rebalance, may come first.
    const isMoot = () => position.seeks !== seek || position.state !== 'owned' || this.#owner.isClosing()
    this.stop([position])
    this.#owner.runs()?.restart(position)
    this.#owner.dropHand(position)
    let end = position.range?.end
    position.range = undefined
    try {
      if (this.#untilEnd) {
        end ??= (await endsOf(this.#cluster, this.#lane, [position], this.#isolation))[0]
      }
      const offset = await soughtOffset(this.#cluster, this.#lane, target, this.#isolation)
      if (!isMoot()) position.next = offset
    } catch (error) {
      if (!isMoot()) throw error
    } finally {
      if (!isMoot()) {
        this.#readFrom(position, position.next, end ?? Number.POSITIVE_INFINITY)
        this.#owner.moved()
      }
    }
  }

  lag(): Promise<PartitionLag[]> {
    return lagOf(this.#cluster, this.#lane, this.#positions.all, this.#isolation)
  }

  /** Reads these no more, and drops what has arrived of them. */
  stop(partitions: readonly TopicPartition[]): void {
    this.#reader.fetcher.remove(partitions)
    for (const { topic, partition } of partitions) {
      this.#reader.drop(topic, partition)
      this.#events.forget(`${topic}/${partition}`)
    }
  }

  #known({ topic, partition }: TopicPartition): Position {
    const position = this.#positions.get({ topic, partition })
    if (position !== undefined) return position
    throw new StreamBusError('INVALID_ARGUMENT', `${this.#owner.name} does not have ${topic}/${partition}.`)
  }

  #readFrom(position: Position, start: number, end: number): void {
    const { topic, partition } = position
    const range = { topic, partition, start, end }
    position.range = range
    if (position.isPaused) return
    this.#owner.runs()?.resume(range)
    this.#reader.fetcher.add([range])
    // There may be nothing to wait for.
    if (start >= end) this.#reader.fetcher.interrupt()
  }
}
