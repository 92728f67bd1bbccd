/** One run of the benchmark: its settings, its folder, its samples, and how a measurement is repeated. */
import { execFileSync } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { type Disturbance, disturbanceBetween, type MachineSnapshot, snapshot } from './machine.ts'
import { measureRawDisk, type RawDisk } from './raw-disk.ts'
import { Samples } from './samples.ts'
import { type SystemName, systemLabels } from './systems.ts'

export interface Settings {
  readonly rounds: number
  readonly seconds: number
  readonly warmupSeconds: number
  readonly systems: readonly SystemName[]
  /** Kafka in every case, also where no goal compares with it and it takes long. */
  readonly full: boolean
  /** Smaller data, one round: whether everything runs, not how fast. */
  readonly quick: boolean
  /** Cores that others may take before a repetition counts as disturbed. */
  readonly maxDisturbedCores: number
  /** How often a repetition is made at most while each one is disturbed. */
  readonly maxAttempts: number
}

export interface Measurement {
  readonly values: Readonly<Record<string, number>>
  readonly before?: MachineSnapshot
  readonly after?: MachineSnapshot
}

const QUIET_SAMPLE_MS = 500
const MAX_QUIET_WAIT_MS = 15_000

/** The disk as it was before a case. */
export type RawDiskBefore = RawDisk & { readonly before: string }

export class Session {
  readonly settings: Settings
  readonly folder: string
  readonly samples = new Samples()
  readonly rawDisk: RawDiskBefore[] = []
  readonly versions = new Map<SystemName, string>()
  /** Repetitions that were disturbed and made again. */
  repeated = 0
  /** False once the page cache could not be emptied where a case asked for it. */
  pageCacheDropped = true
  #folders = 0

  constructor(settings: Settings, folder: string) {
    this.settings = settings
    this.folder = folder
  }

  /** The systems of `candidates` that this run compares. */
  chosen(candidates: readonly SystemName[]): SystemName[] {
    return candidates.filter((name) => this.settings.systems.includes(name))
  }

  newFolder(name: string): string {
    return `${this.folder}/${name}-${++this.#folders}`
  }

  say(line: string): void {
    process.stdout.write(`${line}\n`)
  }

  async measureDisk(before: string): Promise<void> {
    settleDisk()
    const disk = await measureRawDisk(this.folder, this.settings.quick ? 0.5 : 1.5)
    this.rawDisk.push({ before, ...disk })
    const direct = disk.directMbPerSecond === null ? 'refused' : `${disk.directMbPerSecond.toFixed(0)} MB/s`
    this.say(
      `  raw disk: durable direct 1 MiB ${direct}, buffered ${disk.bufferedMbPerSecond.toFixed(0)} MB/s, durable 4 KiB ${disk.smallSyncP50Micros?.toFixed(0)} µs, p99 ${disk.smallSyncP99Micros?.toFixed(0)} µs`,
    )
  }

  /**
   * Measures every system in turn, then again from another one on, for each round: what changes slowly on the
   * machine then changes for all alike. No system comes twice in a row, which would let it find its own data
   * in the caches below the page cache; so two of them keep their order.
   */
  async alternate(
    measured: string,
    systems: readonly SystemName[],
    rounds: number,
    measure: (system: SystemName, repetition: string) => Promise<Measurement>,
  ): Promise<void> {
    let repetition = 0
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < systems.length; turn++) {
        const shift = systems.length > 2 ? round : 0
        const system = systems[(turn + shift) % systems.length]!
        await this.#repeatUntilUndisturbed(measured, system, round, () =>
          measure(system, `${measured}-${++repetition}`),
        )
      }
    }
  }

  /** Gives others the time to finish what they are at, but not for ever. */
  async #waitForQuiet(): Promise<void> {
    const deadlineMs = performance.now() + MAX_QUIET_WAIT_MS
    let cores: number
    do {
      const before = snapshot()
      await delay(QUIET_SAMPLE_MS)
      const { stealCores, otherCores } = disturbanceBetween(before, snapshot())
      cores = stealCores + otherCores
    } while (cores > this.settings.maxDisturbedCores && performance.now() < deadlineMs)
  }

  async #repeatUntilUndisturbed(
    measured: string,
    system: SystemName,
    round: number,
    measure: () => Promise<Measurement>,
  ): Promise<void> {
    let best: { values: Measurement['values']; disturbance: Disturbance | null; cores: number } | undefined
    for (let attempt = 0; attempt < this.settings.maxAttempts; attempt++) {
      if (attempt > 0) await this.#waitForQuiet()
      settleDisk()
      const { values, before, after } = await measure()
      const disturbance = before && after ? disturbanceBetween(before, after) : null
      const cores = disturbance === null ? 0 : disturbance.stealCores + disturbance.otherCores
      const disturbed = cores > this.settings.maxDisturbedCores
      this.say(
        `  ${systemLabels[system].padEnd(34)} ${describe(values)}${disturbed ? told(disturbance!) : ''}`,
      )
      if (best === undefined || cores < best.cores) best = { values, disturbance, cores }
      if (!disturbed) break
      if (attempt + 1 < this.settings.maxAttempts) this.repeated++
    }
    this.samples.add({
      measured,
      system,
      round,
      values: best!.values,
      disturbance: best!.disturbance,
      disturbed: best!.cores > this.settings.maxDisturbedCores,
    })
  }
}

/** Writes of earlier measurements that still wait in the page cache would be paid for by the next one. */
function settleDisk(): void {
  execFileSync('sync')
}

function told({ stealCores, otherCores, worst }: Disturbance): string {
  const who = worst === null ? '' : ` (${worst.name})`
  return ` [disturbed: steal ${stealCores.toFixed(2)}, others ${otherCores.toFixed(2)} cores${who}]`
}

function describe(values: Measurement['values']): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} ${value >= 100 ? value.toFixed(0) : value.toPrecision(3)}`)
    .join(', ')
}
