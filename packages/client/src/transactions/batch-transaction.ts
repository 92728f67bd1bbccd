import type { OffsetToCommit } from '../groups/group-offsets.ts'
import type { TopicPartition } from '../list-offsets.ts'
import type { Message, SentMessage } from '../message.ts'

/** A message that is set aside when the transaction is committed. */
export interface SetAside {
  readonly message: Message
  readonly attempts: number
  readonly error: unknown
  readonly sent: Promise<SentMessage>
}

/** What a worker knows of the transaction it is in: how far it came, and whether it is to come to an end. */
export class BatchTransaction {
  readonly startedAtMs = performance.now()
  /** Resolves with undefined when the transaction is to take no more messages. */
  readonly ending: Promise<undefined>
  /** Resolves when it is committed or aborted. */
  readonly over: Promise<void>
  readonly setAside: SetAside[] = []
  readonly #offsets = new Map<string, OffsetToCommit>()
  /** Takes the last message out again. */
  #withdraw = () => {}
  readonly #timer: NodeJS.Timeout
  #end!: (value: undefined) => void
  #finish!: () => void
  isEnding = false
  /** True when a partition of its messages belongs to another member by now. */
  isLost = false

  constructor(maxMs: number) {
    this.ending = new Promise((resolve) => {
      this.#end = resolve
    })
    this.over = new Promise((resolve) => {
      this.#finish = resolve
    })
    this.#timer = setTimeout(() => this.end(), maxMs)
  }

  get messages(): number {
    return this.#messages
  }
  #messages = 0

  get offsets(): OffsetToCommit[] {
    return [...this.#offsets.values()]
  }

  add({ topic, partition, offset }: Message): void {
    const place = `${topic}/${partition}`
    const before = this.#offsets.get(place)
    this.#messages++
    this.#offsets.set(place, { topic, partition, offset: offset + 1 })
    this.#withdraw = () => {
      this.#messages--
      if (before === undefined) this.#offsets.delete(place)
      else this.#offsets.set(place, before)
    }
  }

  /** The message that was added last is no part of the transaction: it comes again. */
  withdraw(): void {
    this.#withdraw()
    this.#withdraw = () => {}
  }

  lose(partitions: readonly TopicPartition[]): void {
    if (!partitions.some(({ topic, partition }) => this.#offsets.has(`${topic}/${partition}`))) return
    this.isLost = true
    this.end()
  }

  end(): void {
    this.isEnding = true
    this.#end(undefined)
  }

  finish(): void {
    clearTimeout(this.#timer)
    this.#finish()
  }
}
