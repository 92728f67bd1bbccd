import { createHash } from 'node:crypto'
import type { Topic, TopicCatalog, TopicId } from '@streambus/storage'
import type { ResolvedRegex } from './consumer-group-records.ts'
import type { MemberMetadata } from './member.ts'

type Subscription = Pick<MemberMetadata, 'subscribedTopicNames' | 'subscribedTopicRegex'>

/**
 * Which existing topics the members of a group are subscribed to, by name and by regular expression. Computed
 * once for members that say the same.
 */
export class Subscriptions {
  readonly #regexes: ReadonlyMap<string, ResolvedRegex>
  readonly #topics: TopicCatalog
  readonly #known = new Map<string, readonly Topic[]>()
  readonly #ids = new Map<readonly Topic[], readonly TopicId[]>()

  constructor(regexes: ReadonlyMap<string, ResolvedRegex>, topics: TopicCatalog) {
    this.#regexes = regexes
    this.#topics = topics
  }

  /** The same array for members that say the same. */
  topicIdsOf(subscription: Subscription): readonly TopicId[] {
    const topics = this.#topicsOf(subscription)
    let ids = this.#ids.get(topics)
    if (ids === undefined) {
      ids = topics.map(({ id }) => id)
      this.#ids.set(topics, ids)
    }
    return ids
  }

  /**
   * Of the names, ids and partition counts of everything subscribed to: another hash asks for another
   * assignment. Topics that do not exist leave no trace, so that their creation changes it.
   */
  hash(members: Iterable<Subscription>): bigint {
    const all = new Map<string, Topic>()
    for (const member of members) for (const topic of this.#topicsOf(member)) all.set(topic.name, topic)
    if (all.size === 0) return 0n
    const hash = createHash('sha256')
    for (const name of [...all.keys()].sort()) {
      const { id, logs } = all.get(name)!
      hash.update(`${name} ${id} ${logs.length}\n`)
    }
    return hash.digest().readBigInt64BE(0)
  }

  #topicsOf({ subscribedTopicNames, subscribedTopicRegex }: Subscription): readonly Topic[] {
    const key = JSON.stringify([subscribedTopicNames, subscribedTopicRegex])
    let topics = this.#known.get(key)
    if (topics === undefined) {
      const names = new Set(subscribedTopicNames)
      for (const name of this.#regexes.get(subscribedTopicRegex)?.topics ?? []) names.add(name)
      topics = [...names].sort().flatMap((name) => this.#topics.byName(name) ?? [])
      this.#known.set(key, topics)
    }
    return topics
  }
}

/** Whether a member is subscribed to a topic that exists. */
export function subscriptionTest(
  { subscribedTopicNames, subscribedTopicRegex }: Subscription,
  regexes: ReadonlyMap<string, ResolvedRegex>,
  topics: TopicCatalog,
): (topicId: TopicId) => boolean {
  const names = new Set(subscribedTopicNames)
  for (const name of regexes.get(subscribedTopicRegex)?.topics ?? []) names.add(name)
  return (topicId) => {
    const topic = topics.byId(topicId)
    return topic !== undefined && names.has(topic.name)
  }
}
