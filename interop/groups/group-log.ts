/**
 * What the members of one group told, and whether it can be true of a group that works: every record processed,
 * no partition owned by two at once, no committed offset forgotten.
 *
 * A member writes one line per event on standard output, `<event> <time> <rest>`. Times are microseconds of the
 * machine's monotonic clock, which Java, Node and Python all read from CLOCK_MONOTONIC, so that those of several
 * processes can be compared.
 *
 * - `assign t 0,1`, `revoke t 0,1`, `lost t 0,1`: partitions. `revoke` stands before the request that gives them up.
 * - `process t partition first last`: offsets first to last, both included.
 * - `commit t partition offset`: the broker acknowledged that commit.
 * - `closed t`: it left politely.
 */
export type MemberEvent =
  | { kind: 'assign' | 'revoke' | 'lost'; atUs: number; partitions: number[] }
  | { kind: 'process'; atUs: number; partition: number; first: number; last: number }
  | { kind: 'commit'; atUs: number; partition: number; offset: number }
  | { kind: 'closed'; atUs: number }

/** The event in a line, or null where the client printed something of its own. */
export function parseEvent(line: string): MemberEvent | null {
  const [kind, time, ...rest] = line.trim().split(' ')
  const atUs = Number(time)
  if (!Number.isSafeInteger(atUs)) return null
  switch (kind) {
    case 'assign':
    case 'revoke':
    case 'lost': {
      const partitions = (rest[0] ?? '').split(',').filter((text) => text !== '')
      return { kind, atUs, partitions: partitions.map(Number) }
    }
    case 'process': {
      const [partition, first, last] = rest.map(Number)
      return { kind, atUs, partition: partition!, first: first!, last: last! }
    }
    case 'commit': {
      const [partition, offset] = rest.map(Number)
      return { kind, atUs, partition: partition!, offset: offset! }
    }
    case 'closed':
      return { kind, atUs }
    default:
      return null
  }
}

interface Interval {
  member: string
  fromUs: number
  /** Infinity while it lasts. */
  toUs: number
}

export class GroupLog {
  readonly #owners: Interval[][]
  /** How often each offset was processed. */
  readonly #processed: Uint8Array[]
  readonly #commits: { member: string; offset: number }[][]
  readonly #firstProcessed = new Map<string, number>()
  #assignments = 0

  constructor(partitions: number, maxOffset: number) {
    this.#owners = Array.from({ length: partitions }, () => [])
    this.#processed = Array.from({ length: partitions }, () => new Uint8Array(maxOffset))
    this.#commits = Array.from({ length: partitions }, () => [])
  }

  /** Changes of ownership so far: a group that stays as it is does not add to it. */
  get changes(): number {
    return this.#assignments
  }

  add(member: string, event: MemberEvent): void {
    switch (event.kind) {
      case 'assign':
        if (event.partitions.length > 0) this.#assignments++
        for (const partition of event.partitions) {
          this.#of(partition).push({ member, fromUs: event.atUs, toUs: Number.POSITIVE_INFINITY })
        }
        return
      case 'revoke':
      case 'lost':
        if (event.partitions.length > 0) this.#assignments++
        this.#end(member, event.atUs, new Set(event.partitions))
        return
      case 'process': {
        const counts = this.#processed[event.partition]!
        if (event.last >= counts.length) throw new Error(`${member} processed offset ${event.last}`)
        for (let offset = event.first; offset <= event.last; offset++) {
          counts[offset] = Math.min(255, counts[offset]! + 1)
        }
        const key = `${member}/${event.partition}`
        if (!this.#firstProcessed.has(key)) this.#firstProcessed.set(key, event.first)
        return
      }
      case 'commit':
        this.#commits[event.partition]!.push({ member, offset: event.offset })
        return
      case 'closed':
        return
    }
  }

  /** The process of the member is gone: it owns nothing any more. */
  ended(member: string, atUs: number): void {
    this.#end(member, atUs, null)
  }

  /** Partitions by owner, now. */
  owned(): Map<string, number[]> {
    const result = new Map<string, number[]>()
    this.#owners.forEach((intervals, partition) => {
      for (const { member, toUs } of intervals) {
        if (toUs !== Number.POSITIVE_INFINITY) continue
        result.set(member, [...(result.get(member) ?? []), partition])
      }
    })
    return result
  }

  /** True when these members, and no others, own something, and every partition has one owner. */
  isSettled(members: readonly string[]): boolean {
    const owned = this.owned()
    const all = [...owned.values()].flat()
    return (
      owned.size === members.length &&
      members.every((member) => owned.has(member)) &&
      all.length === this.#owners.length &&
      new Set(all).size === all.length
    )
  }

  /** Every time that two members owned a partition at once, for longer than the times of events may be wrong. */
  overlaps(inaccuracyMs: number): string[] {
    const found: string[] = []
    this.#owners.forEach((intervals, partition) => {
      const byStart = [...intervals].sort((a, b) => a.fromUs - b.fromUs)
      let latest: Interval | undefined
      for (const interval of byStart) {
        if (latest !== undefined && latest.member !== interval.member) {
          const ms = Math.ceil((Math.min(latest.toUs, interval.toUs) - interval.fromUs) / 1000)
          if (ms > inaccuracyMs) {
            found.push(`partition ${partition}: ${latest.member} and ${interval.member} for ${ms} ms`)
          }
        }
        if (latest === undefined || interval.toUs > latest.toUs) latest = interval
      }
    })
    return found
  }

  /** How many offsets below `ends[partition]` nobody processed. */
  missing(ends: readonly number[]): number {
    let count = 0
    ends.forEach((end, partition) => {
      const counts = this.#processed[partition]!
      for (let offset = 0; offset < end; offset++) if (counts[offset] === 0) count++
    })
    return count
  }

  /** Records that were processed more than once. */
  get repeated(): number {
    return this.#processed.reduce((sum, counts) => sum + counts.reduce((n, c) => n + (c > 1 ? 1 : 0), 0), 0)
  }

  firstProcessed(member: string, partition: number): number | undefined {
    return this.#firstProcessed.get(`${member}/${partition}`)
  }

  /** The last acknowledged commit of a partition, -1 without any. */
  lastCommitted(partition: number): number {
    return this.#commits[partition]!.at(-1)?.offset ?? -1
  }

  #of(partition: number): Interval[] {
    const intervals = this.#owners[partition]
    if (intervals === undefined) throw new Error(`there is no partition ${partition}`)
    return intervals
  }

  #end(member: string, atUs: number, partitions: ReadonlySet<number> | null): void {
    this.#owners.forEach((intervals, partition) => {
      if (partitions !== null && !partitions.has(partition)) return
      for (const interval of intervals) {
        if (interval.member === member && interval.toUs === Number.POSITIVE_INFINITY) interval.toUs = atUs
      }
    })
  }
}
