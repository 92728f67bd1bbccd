/** What the JavaScript members of groups share: the lines of groups/group-log.ts, and the polite end. */

export interface MemberArguments {
  modulesDir: string
  bootstrap: string
  topic: string
  group: string
  variant: 'eager' | 'cooperative' | 'static' | 'consumer'
  sessionTimeoutMs: number
  instanceId: string | null
}

export function memberArguments(): MemberArguments {
  const [modulesDir, bootstrap, topic, group, variant, sessionTimeoutMs, instanceId] = process.argv.slice(2)
  return {
    modulesDir: modulesDir!,
    bootstrap: bootstrap!,
    topic: topic!,
    group: group!,
    variant: variant as MemberArguments['variant'],
    sessionTimeoutMs: Number(sessionTimeoutMs),
    instanceId: instanceId === '-' ? null : instanceId!,
  }
}

export function tell(event: string, ...rest: readonly (string | number)[]): void {
  tellOf(0, event, ...rest)
}

/** Tells an event that was `agoMs` ago. */
export function tellOf(agoMs: number, event: string, ...rest: readonly (string | number)[]): void {
  const atUs = process.hrtime.bigint() / 1000n - BigInt(Math.ceil(agoMs * 1000))
  process.stdout.write(`${event} ${atUs} ${rest.join(' ')}\n`)
}

/** Compares what a member owns now with what it said before, and tells the difference. */
export class Ownership {
  #owned = new Set<number>()

  has(partition: number): boolean {
    return this.#owned.has(partition)
  }

  /** Gave everything up `agoMs` ago. */
  clear(agoMs: number): void {
    if (this.#owned.size > 0) tellOf(agoMs, 'revoke', [...this.#owned].join(','))
    this.#owned.clear()
  }

  set(partitions: Iterable<number>): void {
    const now = new Set(partitions)
    const revoked = [...this.#owned].filter((partition) => !now.has(partition))
    const assigned = [...now].filter((partition) => !this.#owned.has(partition))
    this.#owned = now
    if (revoked.length > 0) tell('revoke', revoked.join(','))
    if (assigned.length > 0) tell('assign', assigned.join(','))
  }
}

/** Collects offsets that follow one another, so that a line tells of many. */
export class ProcessedRanges {
  readonly #ranges = new Map<number, { first: number; last: number }>()

  add(partition: number, offset: number): void {
    const range = this.#ranges.get(partition)
    if (range !== undefined && offset === range.last + 1) {
      range.last = offset
      return
    }
    if (range !== undefined) tell('process', partition, range.first, range.last)
    this.#ranges.set(partition, { first: offset, last: offset })
  }

  flush(): void {
    for (const [partition, { first, last }] of this.#ranges) tell('process', partition, first, last)
    this.#ranges.clear()
  }
}

/** Resolves when standard input ends. */
export async function inputEnded(): Promise<void> {
  for await (const _ of process.stdin);
}
