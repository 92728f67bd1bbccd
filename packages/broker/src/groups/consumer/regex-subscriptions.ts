import type { TopicCatalog } from '@streambus/storage'
import { GroupRefusal } from '../group-refusal.ts'
import type { Draft } from './draft.ts'
import { sameNames } from './member.ts'
import type { TopicRegexes } from './topic-regexes.ts'

/**
 * Resolves the regular expressions that members are subscribed to, and forgets those that no member is
 * subscribed to any more. Returns whether any of them stands for other topics than before.
 */
export function updateRegexes(
  draft: Draft,
  { topics, regexes, nowMs }: { topics: TopicCatalog; regexes: TopicRegexes; nowMs: number },
): boolean {
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
