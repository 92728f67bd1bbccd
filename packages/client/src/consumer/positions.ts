import type { TopicPartition } from '../list-offsets.ts'
import type { ReadingRange } from './start-position.ts'

/** How far a consumer has come in one partition. */
export interface Position extends TopicPartition {
  /** Set when reading begins; another one after a pause, and none during a seek. */
  range: ReadingRange | undefined
  /** The offset behind the last processed message. */
  next: number
  /** Nothing is given out until it is resumed. */
  isPaused: boolean
  /** How often another place was sought. */
  seeks: number
  /** What the group has on record, null where nothing, or where there is no group. */
  committed: number | null
  /**
   * `owned`: messages are given out. `leaving`: no more, but what was given out may be processed and committed.
   * `gone`: it belongs to another member.
   */
  state: 'owned' | 'leaving' | 'gone'
}

/** The positions of all partitions a consumer reads: those the group gave to it, where there is one. */
export class Positions {
  readonly #positions = new Map<string, Position>()

  /** Adds partitions whose reading has not begun. */
  add(partitions: readonly TopicPartition[]): Position[] {
    return partitions.map(({ topic, partition }) => {
      const position: Position = {
        topic,
        partition,
        range: undefined,
        next: 0,
        isPaused: false,
        seeks: 0,
        committed: null,
        state: 'owned',
      }
      this.#positions.set(`${topic}/${partition}`, position)
      return position
    })
  }

  get({ topic, partition }: TopicPartition): Position | undefined {
    return this.#positions.get(`${topic}/${partition}`)
  }

  /** Stops giving out messages of these; returns their positions. */
  hold(partitions: readonly TopicPartition[]): Position[] {
    const held = partitions.map((one) => this.get(one)).filter((one) => one !== undefined)
    for (const position of held) position.state = 'leaving'
    return held
  }

  remove(partitions: readonly TopicPartition[]): void {
    for (const one of partitions) {
      const position = this.get(one)
      if (position === undefined) continue
      position.state = 'gone'
      this.#positions.delete(`${one.topic}/${one.partition}`)
    }
  }

  get all(): Position[] {
    return [...this.#positions.values()]
  }

  get isEmpty(): boolean {
    return this.#positions.size === 0
  }

  /** Those whose commit is due. */
  get uncommitted(): Position[] {
    return this.all.filter((one) => isUncommitted(one, one.next))
  }

  /** True when each was read up to the end its reading has. */
  get atEnd(): boolean {
    for (const { range, next } of this.#positions.values()) {
      if (range === undefined || next < range.end) return false
    }
    return true
  }
}

export function isUncommitted({ range, committed, state }: Position, offset: number): boolean {
  return range !== undefined && state !== 'gone' && offset !== committed
}
