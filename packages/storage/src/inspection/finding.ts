import type { LogId, Offset } from '../log-store.ts'

/** One thing that is damaged in a data folder. */
export interface Finding {
  readonly kind: 'checkpoint' | 'file' | 'group' | 'batch' | 'segment' | 'index' | 'missing'
  readonly file: string
  /** In bytes from the start of the file; null where it concerns the whole file. */
  readonly position: number | null
  readonly logId: LogId | null
  /** Null where nobody knows it: the topic was deleted, or what is damaged would have said it. */
  readonly topic: string | null
  readonly partition: number | null
  readonly offset: Offset | null
  readonly problem: string
  /** What is lost by it, as a sentence. */
  readonly lost: string
  readonly wayOut: string
}

/** Something a person may want to know that is no damage. */
export interface Note {
  readonly file: string
  readonly position: number | null
  readonly note: string
}

export interface CheckReport {
  readonly dataDir: string
  readonly clusterId: string | null
  readonly isSound: boolean
  readonly logFiles: number
  readonly segments: number
  readonly indexes: number
  readonly groups: number
  readonly batches: number
  readonly records: number
  readonly bytes: number
  readonly elapsedMs: number
  /** At most `MAX_FINDINGS`; `findingCount` is the number of all. */
  readonly findings: readonly Finding[]
  readonly findingCount: number
  readonly notes: readonly Note[]
}

export const MAX_FINDINGS = 1000
