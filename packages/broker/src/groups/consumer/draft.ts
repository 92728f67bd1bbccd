import type { ConsumerGroupRecord } from './consumer-group-records.ts'
import type { ConsumerGroupState } from './consumer-group-state.ts'

/**
 * A decision in the making: the records it consists of, and the state as it will be when they are durable. The
 * state it began with stays as it is, and is not copied where nothing is written.
 */
export class Draft {
  readonly before: ConsumerGroupState
  readonly records: ConsumerGroupRecord[] = []
  #state: ConsumerGroupState

  constructor(state: ConsumerGroupState) {
    this.before = state
    this.#state = state
  }

  get state(): ConsumerGroupState {
    return this.#state
  }

  write(record: ConsumerGroupRecord): void {
    if (this.#state === this.before) this.#state = this.before.fork()
    this.#state.apply(record)
    this.records.push(record)
  }

  /** A member's assignments go before the member itself. */
  removeMember(memberId: string): void {
    this.write({ kind: 'current', memberId, value: null })
    this.write({ kind: 'target', memberId, value: null })
    this.write({ kind: 'member', memberId, value: null })
  }
}
