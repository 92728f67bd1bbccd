/** Transactional producers of both kinds that write to the same partitions. */
import type { Model } from '../model.ts'
import { Random } from '../random.ts'
import { TransactionalProducer } from './transactional-producer.ts'

export class TransactionLoad {
  readonly #producers: readonly TransactionalProducer[]
  readonly #random: Random
  #running = false
  #background: Promise<void>[] = []

  constructor(model: Model, random: Random, onFailure: (error: Error) => void) {
    this.#random = random
    this.#producers = model.transactions.map(
      (history) =>
        new TransactionalProducer({
          history,
          flow: history.producer % 2 === 0 ? 'v2' : 'v1',
          ledger: model.ledger,
          random: new Random(random.between(0, 1_000_000)),
          onFailure,
        }),
    )
  }

  begin(port: number): void {
    this.#running = true
    this.#background = this.#producers.map((producer) => producer.run(port, () => this.#running))
  }

  /** Resolves when each has ended its transaction, or has lost the broker. */
  async end(): Promise<void> {
    this.#running = false
    await Promise.all(this.#background)
  }

  /**
   * Brings every transaction that a kill interrupted to its end: half of the producers live on and finish what
   * they were at, the others begin anew.
   */
  async recover(port: number): Promise<void> {
    for (const producer of this.#producers) if (this.#random.next() < 0.5) producer.die()
    await Promise.all(this.#producers.map((producer) => producer.run(port, () => false)))
  }
}
