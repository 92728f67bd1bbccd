import type { LocalLogStore } from '../local/local-log-store.ts'
import type { RecordBytes, StorageError } from '../log-store.ts'
import { bytesOf, recordsIn } from './batches.ts'
import { check, SimulationFailure } from './crash-failure.ts'
import type { CrashModel, ModelLog } from './crash-model.ts'
import { readCommitted } from './read-committed.ts'
import type { SeededRandom } from './seeded-random.ts'
import { faultKinds } from './simulated-file-system.ts'

/** What the simulation knows of the run in which something is read. */
export interface ReadCircumstances {
  readonly writerFailed: boolean
  /** The disk may fail: a read, too, though not the same one for ever. */
  readonly mayFail: boolean
}

/** Consumers in the crash simulation, who read while everything else goes on, some of them slowly. */
export class CrashReads {
  readonly #random: SeededRandom
  readonly #model: CrashModel
  readonly #open: { log: ModelLog; records: RecordBytes; pieces: Uint8Array[] }[] = []

  constructor(random: SeededRandom, model: CrashModel) {
    this.#random = random
    this.#model = model
  }

  /** Whatever happens at the moment: nothing is seen that may still be aborted. */
  async readCommitted(store: LocalLogStore, log: ModelLog, circumstances: ReadCircumstances): Promise<void> {
    const [state] = await store.state([log.id])
    if (state === undefined) return
    const maxBytes = this.#random.pick([0, 5000, 1e9])
    const read = () => readCommitted(store, log.id, state.logStartOffset, maxBytes)
    const view = await this.#retried(read, circumstances).catch(({ code }: StorageError) => {
      if (code !== 'UNKNOWN_LOG' && code !== 'OFFSET_OUT_OF_RANGE') {
        throw new SimulationFailure(`reading what is committed in log ${log.id} failed: ${code}`)
      }
      return null
    })
    for (const { offset, value } of view?.records ?? []) {
      const part = log.batches.get(value.split('/')[0]!)!.part
      check(
        part === null || part.transaction.commitSent,
        () => `log ${log.id} shows ${offset} as committed, which it cannot be`,
      )
    }
    if (view !== null) this.#model.count('reads of what is committed')
  }

  async readSomething(store: LocalLogStore, log: ModelLog, circumstances: ReadCircumstances): Promise<void> {
    const [state] = await store.state([log.id])
    if (state === undefined) return
    const offset = this.#random.between(state.logStartOffset, state.highWatermark)
    const maxBytes = this.#random.pick([0, 5000, 1e9])
    const isSlow = this.#random.chance(0.3)
    const pieceBytes = this.#random.pick([100, 5000, 100_000])
    const attempt = async () => {
      const [result] = await store.read([{ logId: log.id, offset, maxBytes }], { maxBytes })
      if (result!.error?.code === 'READ_FAILED') throw result!.error
      if (result!.error !== null || isSlow) return { result: result!, bytes: null }
      return { result: result!, bytes: await bytesOf(result!.records, pieceBytes) }
    }
    const { result, bytes } = await this.#retried(attempt, circumstances)
    if (result.error !== null) {
      const { code } = result.error
      const isExpected =
        code === 'UNKNOWN_LOG' || (code === 'OFFSET_OUT_OF_RANGE' && log.startAtMost > offset)
      check(isExpected, () => `reading log ${log.id} at ${offset} failed: ${result.error.stack}`)
      return
    }
    if (circumstances.writerFailed) this.#model.count('reads after a failed write')
    if (bytes === null) {
      this.#open.push({ log, records: result.records, pieces: [] })
      return
    }
    const found = recordsIn(bytes)
    if (offset < result.highWatermark) {
      check(
        found.length > 0 && found[0]!.offset <= offset,
        () => `log ${log.id} has nothing at ${offset}, its end is ${result.highWatermark}`,
      )
    }
    this.#model.checkContent(log, found)
  }

  /** A slow consumer takes the next piece of an answer it was given long ago. */
  async goOn(circumstances: ReadCircumstances): Promise<void> {
    if (this.#open.length === 0) return
    const read = this.#random.pick(this.#open)
    const piece = new Uint8Array(this.#random.between(1, 3000))
    const count = await this.#retried(async () => read.records.readInto(piece), circumstances)
    read.pieces.push(piece.subarray(0, count))
    if (count > 0) return
    this.#open.splice(this.#open.indexOf(read), 1)
    read.records.close()
    this.#model.checkContent(read.log, recordsIn(Buffer.concat(read.pieces)))
  }

  async finish(circumstances: ReadCircumstances): Promise<void> {
    while (this.#open.length > 0) await this.goOn(circumstances)
  }

  giveUp(): void {
    for (const { records } of this.#open.splice(0)) records.close()
  }

  /** Each fault comes once, so that a read which is tried again and again is answered. */
  async #retried<T>(read: () => Promise<T>, { mayFail }: ReadCircumstances): Promise<T> {
    for (let attempt = 0; attempt < faultKinds.length; attempt++) {
      try {
        return await read()
      } catch (error) {
        if ((error as StorageError).code !== 'READ_FAILED' || !mayFail) throw error
        this.#model.count('READ_FAILED')
      }
    }
    return read()
  }
}
