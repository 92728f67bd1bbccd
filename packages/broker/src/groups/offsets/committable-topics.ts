import { ErrorCode } from '@streambus/protocol'
import type { Topic } from '@streambus/storage'
import type { CommitErrorCodes, PartitionCommit, TopicCommit } from './offset-commit.ts'

/**
 * Which of the partitions that a commit names there are. Offsets of the others are refused one by one, and the
 * rest is committed.
 */
export class CommittableTopics {
  /** What can be committed. */
  readonly topics: readonly TopicCommit[]
  readonly #exists: readonly (readonly boolean[])[]
  readonly #missing: readonly number[]

  /** @param named each topic of the request, with what there is of that name or id, or why there is nothing. */
  constructor(
    named: readonly { readonly topic: Topic | number; readonly partitions: readonly PartitionCommit[] }[],
  ) {
    this.#missing = named.map(({ topic }) =>
      typeof topic === 'number' ? topic : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    )
    this.#exists = named.map(({ topic, partitions }) =>
      partitions.map(({ partitionIndex }) => typeof topic !== 'number' && partitionIndex in topic.logs),
    )
    const topics: TopicCommit[] = []
    for (const [at, { topic, partitions }] of named.entries()) {
      if (typeof topic === 'number') continue
      const existing = partitions.filter((_, position) => this.#exists[at]![position])
      if (existing.length > 0) topics.push({ name: topic.name, partitions: existing })
    }
    this.topics = topics
  }

  /**
   * An error code for each partition that was named, in the order of the request.
   *
   * @param committed what became of `topics`: one code for all of them, or one for each partition.
   */
  errorCodes(committed: number | CommitErrorCodes): number[][] {
    const codes = typeof committed === 'number' ? undefined : committed.flat()
    let next = 0
    return this.#exists.map((partitions, at) =>
      partitions.map((exists) => {
        if (!exists) return this.#missing[at]!
        return codes === undefined ? (committed as number) : codes[next++]!
      }),
    )
  }
}
