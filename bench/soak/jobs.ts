/** What the load processes are given to do, and what they tell of each interval. All of it crosses as JSON. */
import type { FullLoad, KeyedLoad, ProbeLoad, SoakTopic } from './soak-load.ts'

interface JobAt {
  readonly port: number
}

export interface FullLoadJob extends JobAt {
  readonly kind: 'full'
  readonly load: FullLoad
}

export interface KeyedLoadJob extends JobAt {
  readonly kind: 'keyed'
  readonly load: KeyedLoad
}

export interface ProbeJob extends JobAt {
  readonly kind: 'probe'
  readonly load: ProbeLoad
}

export interface ConsumeJob extends JobAt {
  readonly kind: 'consume'
  readonly topics: readonly SoakTopic[]
  readonly inGroup: SoakTopic
}

/** Acknowledged since the last time it was asked. */
export interface ProducedFigures {
  readonly bytes: number
}

/** Of the probes answered since the last time it was asked. */
export interface ProbeFigures {
  readonly p50Ms: number
  readonly p99Ms: number
  /** Where one has not been answered for longer than this, its age. */
  readonly maxMs: number
}

export interface ConsumedFigures {
  /** Since the last time it was asked. */
  readonly bytes: number
  /** Offsets the consumers have come to, all partitions together. */
  readonly position: number
  /** The same of the member of the group, which reads a topic of one partition. */
  readonly groupPosition: number
}

export type Job = FullLoadJob | KeyedLoadJob | ProbeJob | ConsumeJob

interface FiguresByKind {
  readonly full: ProducedFigures
  readonly keyed: ProducedFigures
  readonly probe: ProbeFigures
  readonly consume: ConsumedFigures
}

export type FiguresOf<J extends Job> = FiguresByKind[J['kind']]
export type Figures = FiguresOf<Job>

/** A load at work. */
export interface Load<F extends Figures = Figures> {
  /** What there was since the last call. */
  takeFigures(): F
  /** Sends nothing more, and resolves when everything that was sent is answered. */
  stop(): Promise<void>
}

/** Begins a load; `fail` is told what ends it early. */
export type BeginLoad<J extends Job> = (job: J, fail: (error: Error) => void) => Promise<Load<FiguresOf<J>>>

export type Order = { readonly kind: 'begin'; readonly job: Job } | { readonly kind: 'figures' | 'stop' }

export type Answer =
  | { readonly kind: 'begun' | 'stopped' }
  | { readonly kind: 'figures'; readonly figures: Figures }
  | { readonly kind: 'failed'; readonly reason: string }
