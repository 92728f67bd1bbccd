/** Measured values as they come, and the medians and spreads made of them. */
import type { Disturbance } from './machine.ts'
import type { SystemName } from './systems.ts'

/** One repetition of one case on one system. */
export interface Sample {
  readonly measured: string
  readonly system: SystemName
  readonly round: number
  readonly values: Readonly<Record<string, number>>
  /** Null where the whole of a start or stop was measured, which no snapshots surround. */
  readonly disturbance: Disturbance | null
  /** True when every repetition of this round was disturbed and this is the least disturbed one. */
  readonly disturbed: boolean
}

export interface Summary {
  readonly median: number
  readonly lowest: number
  readonly highest: number
  readonly count: number
  readonly disturbed: number
}

export class Samples {
  readonly all: Sample[] = []

  add(sample: Sample): void {
    this.all.push(sample)
  }

  /** Undefined when nothing was measured under that name. */
  summary(measured: string, system: SystemName, value: string): Summary | undefined {
    const samples = this.all.filter(
      (sample) => sample.measured === measured && sample.system === system && value in sample.values,
    )
    if (samples.length === 0) return undefined
    const values = samples.map((sample) => sample.values[value]!).sort((a, b) => a - b)
    const middle = values.length >> 1
    return {
      median: values.length % 2 === 1 ? values[middle]! : (values[middle - 1]! + values[middle]!) / 2,
      lowest: values[0]!,
      highest: values.at(-1)!,
      count: values.length,
      disturbed: samples.filter((sample) => sample.disturbed).length,
    }
  }

  median(measured: string, system: SystemName, value: string): number | undefined {
    return this.summary(measured, system, value)?.median
  }
}
