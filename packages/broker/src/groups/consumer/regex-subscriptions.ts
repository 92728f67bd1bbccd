import { ErrorCode } from '@streambus/protocol'
import type { TopicCatalog } from '@streambus/storage'
import { GroupRefusal } from '../group-refusal.ts'
import type { ResolvedRegex } from './consumer-group-records.ts'
import type { ConsumerGroupState } from './consumer-group-state.ts'
import type { Draft } from './draft.ts'
import { sameNames } from './member.ts'
import type { TopicRegexes } from './topic-regexes.ts'

/** Whenever members or topics change, each of them is looked at with all that it stands for. */
const MAX_REGEXES_PER_GROUP = 100

interface RegexContext {
  readonly topics: TopicCatalog
  readonly regexes: TopicRegexes
  readonly nowMs: number
}

/**
 * What an expression stands for that no member has been subscribed to; null where one has, and for none. Throws
 * GroupRefusal where the group has too many.
 */
export function resolveNewRegex(
  state: ConsumerGroupState,
  regex: string,
  { topics, regexes, nowMs }: RegexContext,
): ResolvedRegex | null {
  if (regex === '' || state.regexes.has(regex)) return null
  if (state.regexes.size >= MAX_REGEXES_PER_GROUP) {
    throw new GroupRefusal(
      ErrorCode.GROUP_MAX_SIZE_REACHED,
      `The members of the group are subscribed to ${MAX_REGEXES_PER_GROUP} regular expressions already.`,
    )
  }
  return { topics: resolve(regex, topics, regexes), version: topics.version, resolvedAtMs: nowMs }
}

/**
 * Resolves the regular expressions that members are subscribed to, and forgets those that no member is
 * subscribed to any more. Returns whether any of them stands for other topics than before.
 */
export function updateRegexes(draft: Draft, { topics, regexes, nowMs }: RegexContext): boolean {
  const { state } = draft
  const subscribed = new Set<string>()
  for (const { subscribedTopicRegex } of state.members.values()) {
    if (subscribedTopicRegex !== '') subscribed.add(subscribedTopicRegex)
  }
  let changed = false
  for (const regex of state.regexes.keys()) {
    if (!subscribed.has(regex)) draft.write({ kind: 'regex', regex, value: null })
  }
  for (const regex of subscribed) {
    const known = state.regexes.get(regex)?.topics ?? null
    const resolved = resolve(regex, topics, regexes)
    if (known !== null && sameNames(known, resolved)) continue
    changed ||= !sameNames(known ?? [], resolved)
    const value = { topics: resolved, version: topics.version, resolvedAtMs: nowMs }
    draft.write({ kind: 'regex', regex, value })
  }
  return changed
}

/** An expression that another broker accepted and this one does not stands for no topic. */
function resolve(regex: string, topics: TopicCatalog, regexes: TopicRegexes): readonly string[] {
  try {
    return regexes.resolve(regex, topics)
  } catch (error) {
    if (error instanceof GroupRefusal) return []
    throw error
  }
}
