import { SimulationFailure } from './crash-failure.ts'
import { ScriptedStore } from './scripted-store.ts'
import { SeededRandom } from './seeded-random.ts'
import type { ShortHistory } from './short-histories.ts'
import { SimulatedFileSystem } from './simulated-file-system.ts'
import type { Survival } from './simulated-inode.ts'

/**
 * Crashes a short history after each of its I/O operations, in each of these ways, and compares what a start
 * finds with the model: the process dies; the power fails, and of what was not synced (names, sizes, sectors, those
 * of writes under way among them) nothing is kept, or everything, or a single one, or all but one. Where
 * nothing or everything was kept the start, too, is crashed after each of its operations, and what that had not synced
 * is lost.
 */
export interface EnumerationOptions {
  readonly sectorBytes: 512 | 4096
  /** Single changes kept or lost per crash, evenly spread where there are more. */
  readonly maxSingles: number
  /** Also the starts after a crash are crashed. */
  readonly crashesStarts: boolean
}

export interface EnumerationOutcome {
  /** I/O operations of the history, each of which a crash followed. */
  crashPoints: number
  /** Starts of a store that were compared with the model. */
  starts: number
}

/** How a crash leaves the disk. */
interface Aftermath {
  readonly name: string
  readonly power: boolean
  readonly keeps: (index: number) => boolean
}

const death: Aftermath = { name: 'the process died', power: false, keeps: () => true }
const nothing: Aftermath = { name: 'nothing was kept', power: true, keeps: () => false }
const everything: Aftermath = { name: 'everything was kept', power: true, keeps: () => true }

export async function enumerateCrashes(
  history: ShortHistory,
  options: EnumerationOptions,
  onStart: () => void = () => {},
): Promise<EnumerationOutcome> {
  const outcome: EnumerationOutcome = { crashPoints: 0, starts: 0 }
  const judge = async (step: number, aftermaths: readonly Aftermath[], startSteps: readonly number[]) => {
    outcome.starts++
    onStart()
    const run = new CrashedRun(history, options)
    try {
      return await run.perform(step, aftermaths, startSteps)
    } catch (error) {
      const place = [
        `'${history.name}' (sectors of ${options.sectorBytes} bytes) crashed after operation ${step}`,
        aftermaths[0]!.name,
        ...startSteps.map((at, index) => `its start after operation ${at}, ${aftermaths[index + 1]!.name}`),
      ]
      throw new SimulationFailure(
        `${run.trace.slice(-40).join('\n')}\n${place.join(', ')}: ${(error as Error).stack}`,
      )
    }
  }
  for (let step = 0; ; step++) {
    const first = await judge(step, [nothing], [])
    const { choices } = first
    await judge(step, [death], [])
    await judge(step, [everything], [])
    for (const index of spread(choices, options.maxSingles)) {
      await judge(step, [{ name: `change ${index} was kept`, power: true, keeps: (at) => at === index }], [])
      await judge(step, [{ name: `change ${index} was lost`, power: true, keeps: (at) => at !== index }], [])
    }
    if (options.crashesStarts) {
      for (const aftermath of [nothing, everything]) {
        for (let startStep = 0; ; startStep++) {
          const { startEnded } = await judge(step, [aftermath, nothing], [startStep])
          if (startEnded) break
        }
      }
    }
    if (first.ended) return outcome
    outcome.crashPoints++
  }
}

class CrashedRun {
  readonly trace: string[] = []
  readonly #history: ShortHistory
  readonly #options: EnumerationOptions
  #choices = 0

  constructor(history: ShortHistory, options: EnumerationOptions) {
    this.#history = history
    this.#options = options
  }

  /** `ended`: the history, or the start, was over before the crash. */
  async perform(
    step: number,
    [first, second]: readonly Aftermath[],
    [startStep]: readonly number[],
  ): Promise<{ choices: number; ended: boolean; startEnded: boolean }> {
    const { sectorBytes } = this.#options
    let disk = new SimulatedFileSystem(new SeededRandom(1), { sectorBytes, isOrderly: true })
    const store = new ScriptedStore(disk, this.#history.options)
    const live = async () => {
      await store.open()
      await this.#history.live(store)
    }
    const ended = await this.#crashAfter(disk, step, live())
    disk = this.#restart(store, disk, first!)
    const choices = this.#choices
    let startEnded = false
    if (startStep !== undefined) {
      startEnded = await this.#crashAfter(disk, startStep, store.open())
      disk = this.#restart(store, disk, second!)
    }
    await store.open()
    await store.verify()
    await store.close()
    this.trace.push(...disk.trace)
    return { choices, ended, startEnded }
  }

  /** True when it was over before. */
  async #crashAfter(disk: SimulatedFileSystem, step: number, work: Promise<void>): Promise<boolean> {
    disk.crashAfter(step)
    const ended = await Promise.race([work.then(() => true), disk.crashed.then(() => false)])
    this.trace.push(...disk.trace)
    return ended
  }

  #restart(
    store: ScriptedStore,
    disk: SimulatedFileSystem,
    { power, keeps }: Aftermath,
  ): SimulatedFileSystem {
    this.#choices = 0
    const survival: Survival = () => keeps(this.#choices++)
    const after = disk.restart(power, false, survival)
    store.restartOn(after, power && this.#history.options.durability === 'os')
    return after
  }
}

/** At most `count` of the numbers below `bound`, evenly spread. */
function spread(bound: number, count: number): number[] {
  if (bound <= count) return Array.from({ length: bound }, (_, index) => index)
  return Array.from({ length: count }, (_, index) => Math.floor((index * bound) / count))
}
