/**
 * Which dead letters were replayed, as the committed offset of a group: all before the offset, and those its
 * metadata names. The metadata is `replayed 17,20-23`: offsets that were replayed out of turn. Where only the letters
 * of one group were, another group says that of them, and of no others.
 */
import { type Message, readDeadLetter, type StreamBus } from '@streambus/client'

const tag = 'replayed '
/** What brokers take by default (offset.metadata.max.bytes). */
const maxMetadataBytes = 4_096

/** @param group whose letters are replayed; undefined for all */
export function replayGroup(topic: string, group?: string): string {
  // A slash is in no topic's name, so that no other topic has the same group.
  return `streambus-dlq-replay.${topic}${group === undefined ? '' : `/${group}`}`
}

export class ReplayPlace {
  #next: number
  readonly #outOfTurn: Set<number>

  constructor(next: number, metadata = '') {
    this.#next = next
    this.#outOfTurn = new Set(metadata.startsWith(tag) ? offsetsIn(metadata.slice(tag.length)) : [])
  }

  /** Everything before it was replayed. */
  get next(): number {
    return this.#next
  }

  /** How many were replayed, of those the log holds from this offset on. */
  countFrom(earliest: number): number {
    const outOfTurn = [...this.#outOfTurn].filter((offset) => offset >= earliest)
    return Math.max(0, this.#next - earliest) + outOfTurn.length
  }

  has(offset: number): boolean {
    return offset < this.#next || this.#outOfTurn.has(offset)
  }

  /** This one was replayed, whatever lies before it. */
  add(offset: number): void {
    if (offset >= this.#next) this.#outOfTurn.add(offset)
    this.#catchUp()
  }

  /** Everything before this offset was replayed. */
  advanceTo(next: number): void {
    this.#next = Math.max(this.#next, next)
    for (const offset of this.#outOfTurn) if (offset < this.#next) this.#outOfTurn.delete(offset)
    this.#catchUp()
  }

  get metadata(): string {
    if (this.#outOfTurn.size === 0) return ''
    const ranges: { first: number; last: number }[] = []
    for (const offset of [...this.#outOfTurn].sort((a, b) => a - b)) {
      const range = ranges.at(-1)
      if (range?.last === offset - 1) range.last = offset
      else ranges.push({ first: offset, last: offset })
    }
    return `${tag}${ranges.map(({ first, last }) => (first === last ? first : `${first}-${last}`)).join(',')}`
  }

  /** False where the offsets out of turn are too many to be remembered. */
  get fits(): boolean {
    return this.metadata.length <= maxMetadataBytes
  }

  #catchUp(): void {
    while (this.#outOfTurn.delete(this.#next)) this.#next++
  }
}

/** What was replayed of a dead letter topic. */
export class ReplayPlaces {
  readonly #bus: StreamBus
  readonly #topic: string
  /** The place of each partition, as many as there are, for replays of everything. */
  readonly all: readonly ReplayPlace[]
  readonly #ofGroups = new Map<string, readonly ReplayPlace[]>()

  private constructor(bus: StreamBus, topic: string, all: readonly ReplayPlace[]) {
    this.#bus = bus
    this.#topic = topic
    this.all = all
  }

  static async of(bus: StreamBus, topic: string, partitions: number): Promise<ReplayPlaces> {
    return new ReplayPlaces(bus, topic, await committedPlaces(bus, topic, partitions))
  }

  /** The same for replays of what a group gave up. */
  async ofGroup(group: string): Promise<readonly ReplayPlace[]> {
    const known = this.#ofGroups.get(group)
    if (known !== undefined) return known
    const places = await committedPlaces(this.#bus, this.#topic, this.all.length, group)
    this.#ofGroups.set(group, places)
    return places
  }

  /** Whether the message was replayed, with all or with those of its group. */
  async has(message: Message): Promise<boolean> {
    const { partition, offset } = message
    if (this.all[partition]?.has(offset)) return true
    const group = readDeadLetter(message)?.group ?? null
    return group !== null && (await this.ofGroup(group))[partition]?.has(offset) === true
  }
}

async function committedPlaces(
  bus: StreamBus,
  topic: string,
  partitions: number,
  group?: string,
): Promise<ReplayPlace[]> {
  const places = Array.from({ length: partitions }, () => new ReplayPlace(0))
  const asked = places.map((_, partition) => ({ topic, partition }))
  const committed = await bus.admin.fetchOffsets(replayGroup(topic, group), asked)
  for (const { partition, offset, metadata } of committed) {
    places[partition] = new ReplayPlace(offset, metadata)
  }
  return places
}

function offsetsIn(text: string): number[] {
  return text.split(',').flatMap((range) => {
    const match = /^(\d{1,15})(?:-(\d{1,15}))?$/.exec(range)
    if (match === null) return []
    const first = Number(match[1])
    const last = Number(match[2] ?? first)
    // What stands there may be anybody's: a range too long to have been replayed one by one is not ours.
    if (last < first || last - first > 1_000_000) return []
    return Array.from({ length: last - first + 1 }, (_, index) => first + index)
  })
}
