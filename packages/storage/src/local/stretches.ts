import type { LogId, Offset } from '../log-store.ts'

/** Offsets of one log. */
export interface Stretch {
  readonly logId: LogId
  readonly firstOffset: Offset
  readonly endOffset: Offset
}

/** What logs have in files that one segment can take the place of: of each log one stretch of offsets. */
export class Stretches {
  readonly #ofLogs = new Map<LogId, { readonly begin: Offset; readonly end: Offset }>()

  /** Whether a file with these can be added: what a log has in it goes on where the others end, or ends where they begin. */
  fit(stretches: readonly Stretch[]): boolean {
    return stretches.every(({ logId, firstOffset, endOffset }) => {
      const known = this.#ofLogs.get(logId)
      return known === undefined || known.end === firstOffset || known.begin === endOffset
    })
  }

  add(stretches: readonly Stretch[]): void {
    for (const { logId, firstOffset, endOffset } of stretches) {
      const { begin, end } = this.#ofLogs.get(logId) ?? { begin: firstOffset, end: endOffset }
      this.#ofLogs.set(logId, { begin: Math.min(begin, firstOffset), end: Math.max(end, endOffset) })
    }
  }
}

/** So many of the candidates, the given one among them, that one segment can take the place of; null where it cannot. */
export function fitting<T extends { readonly stretches: readonly Stretch[] }>(
  first: T,
  candidates: readonly T[],
  count: number,
): T[] | null {
  const taken = new Set([first])
  const stretches = new Stretches()
  stretches.add(first.stretches)
  // What did not fit may do so when what lies between has been taken.
  for (let before = 0; before < taken.size; ) {
    before = taken.size
    for (const candidate of candidates) {
      if (taken.has(candidate) || !stretches.fit(candidate.stretches)) continue
      taken.add(candidate)
      if (taken.size === count) return [...taken]
      stretches.add(candidate.stretches)
    }
  }
  return null
}
