import type { Cluster, RetryOptions } from '../cluster.ts'
import type { OutOfRange } from '../consumer/fetcher.ts'
import type { Position } from '../consumer/positions.ts'
import { endsOf, type ReadingRange, readingRanges, type StartPosition } from '../consumer/start-position.ts'
import type { StreamBusError } from '../errors.ts'
import type { Isolation, TopicPartition } from '../list-offsets.ts'
import type { Coordinators } from './coordinators.ts'
import type { GroupConsumerOptions } from './group-consumer-options.ts'
import { fetchCommitted } from './group-offsets.ts'

/** Where a member begins in the partitions it is given: at what the group has on record, or where the options say. */
export class StartingPlaces {
  readonly #cluster: Cluster
  readonly #coordinators: Coordinators
  readonly #lane: string
  readonly #options: GroupConsumerOptions
  readonly #isolation: Isolation
  /** Topics that are read from their first message where nothing is committed, whatever the options say. */
  wholeTopics: ReadonlySet<string> | undefined
  readonly #retry: RetryOptions

  constructor(
    cluster: Cluster,
    coordinators: Coordinators,
    lane: string,
    options: GroupConsumerOptions,
    isolation: Isolation,
    onRetry: (error: StreamBusError) => void,
  ) {
    this.#cluster = cluster
    this.#coordinators = coordinators
    this.#lane = lane
    this.#options = options
    this.#isolation = isolation
    this.#retry = { onRetry }
  }

  /** One range for each position, in any order. Notes in the positions what the group has committed. */
  async rangesOf(positions: readonly Position[]): Promise<ReadingRange[]> {
    const { group, until } = this.#options
    const committed = new Map(
      (await fetchCommitted(this.#coordinators, this.#lane, group, positions, this.#retry)).map((one) => [
        `${one.topic}/${one.partition}`,
        one.offset,
      ]),
    )
    for (const position of positions) {
      position.committed = committed.get(`${position.topic}/${position.partition}`) ?? null
    }
    const known = positions.filter((one) => one.committed !== null)
    const unknown = positions.filter((one) => one.committed === null)
    const starts = await this.#startsOf(unknown, until === 'end')
    const ends =
      until === 'end' ? await endsOf(this.#cluster, this.#lane, known, this.#isolation, this.#retry) : []
    return [
      ...starts,
      ...known.map(({ topic, partition, committed: start }, index) => ({
        topic,
        partition,
        start: start as number,
        end: ends[index] ?? Number.POSITIVE_INFINITY,
      })),
    ]
  }

  /**
   * Where to go on when the log does not reach back to the committed offset, or was made anew and does not reach so
   * far. Undefined where the options name no place that the log holds.
   */
  async afterOutOfRange(place: OutOfRange): Promise<number | undefined> {
    const { topic, partition, position, earliest, latest, isNewTopic } = place
    const [range] = await this.#startsOf([place], false)
    if (range === undefined || range.start < earliest || range.start > latest) return undefined
    const reason = isNewTopic
      ? `Topic '${topic}' was deleted and made anew; in ${topic}/${partition}`
      : `The log of ${topic}/${partition} holds offsets ${earliest} to ${latest} and not ${position};`
    this.#cluster.settings.logger.warn(`${reason} group '${this.#options.group}' goes on at ${range.start}.`)
    return range.start
  }

  async #startsOf(partitions: readonly TopicPartition[], untilEnd: boolean): Promise<ReadingRange[]> {
    const { from = 'earliest', fromOfTopic = () => from } = this.#options
    const byStart = new Map<StartPosition, TopicPartition[]>()
    for (const one of partitions) {
      const start = this.wholeTopics?.has(one.topic) ? 'earliest' : fromOfTopic(one.topic)
      const others = byStart.get(start)
      if (others === undefined) byStart.set(start, [one])
      else others.push(one)
    }
    const ranges = [...byStart].map(([start, those]) =>
      readingRanges(this.#cluster, this.#lane, those, start, untilEnd, this.#isolation, this.#retry),
    )
    return (await Promise.all(ranges)).flat()
  }
}
