/** The load processes of a soak. */
import type {
  ConsumedFigures,
  ConsumeJob,
  FullLoadJob,
  KeyedLoadJob,
  ProbeFigures,
  ProbeJob,
  ProducedFigures,
} from './jobs.ts'
import { LoadProcess } from './load-process.ts'
import { consumed, consumedInGroup, fullLoads, keyedLoad, probeLoad } from './soak-load.ts'

export interface LoadFigures {
  readonly produced: ProducedFigures
  readonly consumed: ConsumedFigures
  readonly probe: ProbeFigures
}

export class Loads implements AsyncDisposable {
  /** Rejects when one of them ends early. */
  readonly failed: Promise<never>
  readonly #consumers = new LoadProcess<ConsumeJob>('consumers')
  readonly #probe = new LoadProcess<ProbeJob>('probe')
  readonly #keyed = new LoadProcess<KeyedLoadJob>('keyed records')
  readonly #full = fullLoads.map(({ topic }) => new LoadProcess<FullLoadJob>(`producers of ${topic.name}`))

  constructor() {
    this.failed = Promise.race(this.#all.map(({ failed }) => failed))
    this.failed.catch(() => undefined)
  }

  /** Begins all of them, the consumers first: they have to see every record before retention takes it. */
  async begin(port: number): Promise<void> {
    await this.#consumers.begin({ kind: 'consume', port, topics: consumed, inGroup: consumedInGroup })
    await this.#probe.begin({ kind: 'probe', port, load: probeLoad })
    await this.#keyed.begin({ kind: 'keyed', port, load: keyedLoad })
    for (const [index, load] of fullLoads.entries()) {
      await this.#full[index]!.begin({ kind: 'full', port, load })
    }
  }

  /** What there was since the last call. */
  async figures(): Promise<LoadFigures> {
    const [consumed, probe, ...produced] = await Promise.all([
      this.consumed(),
      this.#probe.figures(),
      ...[this.#keyed, ...this.#full].map((producers) => producers.figures()),
    ])
    return { consumed, probe, produced: { bytes: produced.reduce((sum, { bytes }) => sum + bytes, 0) } }
  }

  consumed(): Promise<ConsumedFigures> {
    return this.#consumers.figures()
  }

  /** Resolves when everything that was sent is answered. Consumers go on. */
  async stopProducing(): Promise<void> {
    await Promise.all([this.#probe, this.#keyed, ...this.#full].map((load) => load.stop()))
  }

  async stopConsuming(): Promise<void> {
    await this.#consumers.stop()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#all.map((load) => load.end()))
  }

  get #all() {
    return [this.#consumers, this.#probe, this.#keyed, ...this.#full]
  }
}
