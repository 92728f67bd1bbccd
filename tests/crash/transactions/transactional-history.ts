/** What one transactional producer was promised: its transactions in order, and how each may have ended. */

/** `unknown`: a commit was under way when the producer died, so that either outcome is right, as a whole. */
export type Outcome = 'open' | 'committed' | 'aborted' | 'unknown'

/** Writers of the plain load have smaller numbers. */
const FIRST_WRITER = 100_000
/** Records of one transaction have serials below this, from a multiple of it on. */
export const SERIALS_PER_TRANSACTION = 256

export interface Transaction {
  /** Number of the transaction, from 0 on. */
  readonly number: number
  /** Serials of its records, by partition, in the order in which they were written. */
  readonly records: ReadonlyMap<number, readonly number[]>
  readonly commitsOffset: boolean
  outcome: Outcome
}

export class TransactionalHistory {
  readonly producer: number
  readonly transactions: Transaction[] = []

  constructor(producer: number) {
    this.producer = producer
  }

  /** Who its records say has written them. */
  get writer(): number {
    return FIRST_WRITER + this.producer
  }

  get transactionalId(): string {
    return `transactional-${this.producer}`
  }

  /** The group whose offset its transactions commit: the number of the next transaction. */
  get group(): string {
    return `transactional-group-${this.producer}`
  }

  /** What the group's offset has to be, from the transactions whose outcome is known; -1 for none. */
  get expectedOffset(): number {
    const last = this.transactions.findLast(
      ({ outcome, commitsOffset }) => outcome === 'committed' && commitsOffset,
    )
    return last === undefined ? -1 : last.number + 1
  }

  get committedTransactions(): number {
    return this.transactions.filter(({ outcome }) => outcome === 'committed').length
  }
}
