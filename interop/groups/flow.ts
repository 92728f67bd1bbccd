/** Records that go on flowing into a topic while its group is disturbed. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { InteropClient } from '../client.ts'
import type { RecordSet } from '../records.ts'

export interface Pace {
  /** Records sent at once. */
  readonly chunkRecords: number
  /** From the acknowledgement of some to the next. */
  readonly pauseMs: number
}

const DEFAULT_PACE: Pace = { chunkRecords: 1_000, pauseMs: 100 }
const HELD_POLL_MS = 50

export class Flow {
  readonly #client: InteropClient
  readonly #set: RecordSet
  readonly #total: number
  readonly #pace: Pace
  readonly #finished: Promise<void>
  #limit: number
  #sent = 0
  #failure: unknown

  /** Sends the records 0 to `total`, at first only to `limit`. */
  constructor(
    client: InteropClient,
    topic: string,
    partitions: number,
    total: number,
    limit: number,
    pace: Pace = DEFAULT_PACE,
  ) {
    this.#pace = pace
    this.#client = client
    this.#set = { seed: topic, shape: 'mixed', headers: 'none', partitions, baseTimestampMs: Date.now() }
    this.#total = total
    this.#limit = limit
    this.#finished = this.#run(topic).catch((error: unknown) => {
      this.#failure = error
    })
  }

  get sent(): number {
    return this.#sent
  }

  /** Lets the rest go. */
  release(): void {
    this.#limit = this.#total
  }

  stop(): void {
    this.#limit = -1
  }

  async finished(): Promise<void> {
    await this.#finished
    if (this.#failure !== undefined) throw this.#failure
  }

  async #run(topic: string): Promise<void> {
    while (this.#sent < this.#total && this.#limit >= 0) {
      const to = Math.min(this.#sent + this.#pace.chunkRecords, this.#total)
      if (to > this.#limit) {
        await sleep(HELD_POLL_MS)
        continue
      }
      const command = { topic, set: this.#set, from: this.#sent, to, codec: 'none', idempotent: true }
      const { acknowledged, wrongOffset } = await this.#client.produce(command)
      if (acknowledged !== to - this.#sent || wrongOffset !== null) {
        throw new Error(`${acknowledged} acknowledged of ${to - this.#sent}, wrong offset ${wrongOffset}`)
      }
      this.#sent = to
      await sleep(this.#pace.pauseMs)
    }
  }
}
