/**
 * The load that kills interrupt: writers over several connections, groups and transactions, and topics made and
 * removed beside them.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { RawConnection } from '../../bench/wire/raw-connection.ts'
import { endOffsets } from '../../bench/wire/topics.ts'
import { GroupLoad } from './groups/group-load.ts'
import { type Model, WriterHistory } from './model.ts'
import { PassingTopics } from './passing-topics.ts'
import { Random } from './random.ts'
import { TransactionLoad } from './transactions/transaction-load.ts'
import { Writer } from './writer.ts'

const CONNECTIONS = 4
const WRITERS_PER_PARTITION = 2
const TICK_MS = 2
/** Enough to have every moment of a kill fall into a write, and little enough to read everything back often. */
const BYTES_PER_SECOND = 20e6
const TOPIC_LOOPS = 3
/** Between two topics of one loop while records are written; nothing while topics are what is killed. */
const TOPIC_PAUSE_MS = 20
const FINISH_TIMEOUT_MS = 20_000

/** What runs: all of it, groups and transactions without the writers, or topics alone and without a pause. */
export type LoadKind = 'everything' | 'coordinators' | 'topics'

export class Load {
  readonly writers: Writer[] = []
  readonly groups: GroupLoad
  readonly transactions: TransactionLoad
  readonly #model: Model
  readonly #topics: PassingTopics
  #connections: RawConnection[] = []
  #background: Promise<void>[] = []
  #writing = false
  #running = false
  #failure: Error | undefined

  constructor(model: Model, seed: number) {
    this.#model = model
    const fail = (error: Error) => {
      this.#failure ??= error
    }
    this.#topics = new PassingTopics(model, fail)
    this.groups = new GroupLoad(model, new Random(seed - 1), fail)
    this.transactions = new TransactionLoad(model, new Random(seed - 2), fail)
    let writer = 0
    for (let lane = 0; lane < WRITERS_PER_PARTITION; lane++) {
      for (const partition of model.partitions) {
        const history = new WriterHistory(writer, partition.partition)
        partition.writers.set(writer, history)
        this.writers.push(new Writer(model, history, new Random(seed + writer), fail))
        writer++
      }
    }
  }

  async begin(port: number, kind: LoadKind): Promise<void> {
    this.#running = true
    this.#connections = await Promise.all(Array.from({ length: CONNECTIONS }, () => RawConnection.open(port)))
    await Promise.all(
      this.writers.map((writer, index) => writer.attach(this.#connections[index % CONNECTIONS]!)),
    )
    this.#writing = kind === 'everything'
    if (kind !== 'topics') {
      this.groups.begin(port)
      this.transactions.begin(port)
    }
    const pause = () => (kind === 'topics' ? Promise.resolve() : delay(TOPIC_PAUSE_MS))
    this.#background = [this.#write(), this.#watchEnds()]
    for (let loop = 0; loop < TOPIC_LOOPS; loop++) {
      this.#background.push(this.#topics.run(port, () => this.#running, pause))
    }
  }

  /** Waits for what runs in the background after the broker was killed. Throws what went wrong on the way. */
  async interrupted(): Promise<void> {
    this.#running = false
    for (const connection of this.#connections) connection.close()
    await Promise.all([...this.#background, this.groups.end(), this.transactions.end()])
    if (this.#failure !== undefined) throw this.#failure
  }

  /** After a restart, before anything is compared: ends every transaction that the kill interrupted. */
  async recover(port: number): Promise<void> {
    await this.transactions.recover(port)
    if (this.#failure !== undefined) throw this.#failure
  }

  /**
   * Lets every batch that was sent be acknowledged, every transaction end and the groups settle, then
   * disconnects.
   */
  async finish(): Promise<void> {
    this.#writing = false
    await Promise.all([this.groups.settle(), this.transactions.end()])
    const deadline = performance.now() + FINISH_TIMEOUT_MS
    while (!this.writers.every((writer) => writer.idle)) {
      if (this.#failure !== undefined) throw this.#failure
      if (performance.now() > deadline) throw new Error('some batches are not acknowledged')
      await delay(TICK_MS)
    }
    await this.interrupted()
  }

  async #write(): Promise<void> {
    let budget = 0
    let next = 0
    let lastMs = performance.now()
    while (this.#running) {
      await delay(TICK_MS)
      const nowMs = performance.now()
      budget = Math.min(budget + ((nowMs - lastMs) / 1000) * BYTES_PER_SECOND, BYTES_PER_SECOND / 10)
      lastMs = nowMs
      if (!this.#writing) continue
      for (let idle = 0; budget > 0 && idle < this.writers.length; ) {
        const bytes = this.writers[next]!.writeOne()
        next = (next + 1) % this.writers.length
        idle = bytes === 0 ? idle + 1 : 0
        budget -= bytes
      }
    }
  }

  /** Keeps the furthest end any consumer was shown. */
  async #watchEnds(): Promise<void> {
    const { topic, partitions } = this.#model
    const connection = this.#connections[0]!
    while (this.#running) {
      const ends = await endOffsets(connection, topic, partitions.length).catch(() => null)
      if (ends === null) return
      for (const history of partitions) {
        history.seenEndOffset = Math.max(history.seenEndOffset, ends[history.partition]!)
      }
      await delay(TICK_MS)
    }
  }
}
