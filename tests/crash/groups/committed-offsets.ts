/**
 * What the broker has promised of committed offsets. Whoever owns a partition commits larger offsets each time,
 * one request at a time, so the committed offset lies between the last that was acknowledged, or shown to
 * anybody, and the last that was sent; going back is always a fault.
 */
import { offsetFetch } from '@streambus/protocol'
import type { RawConnection } from '../../../bench/wire/raw-connection.ts'
import { retried } from '../../../bench/wire/retried.ts'

const FETCH_VERSION = 9

/** The committed offset of one partition in one group. */
export class CommittedOffset {
  readonly group: string
  readonly partition: number
  /** The largest offset that was acknowledged or shown; -1 before the first. */
  promised = -1
  /** The largest offset that was ever sent. */
  sent = -1

  constructor(group: string, partition: number) {
    this.group = group
    this.partition = partition
  }

  /** What the owner commits next. */
  next(): number {
    return ++this.sent
  }
}

export class CommittedOffsets {
  readonly topic: string
  readonly byGroup: ReadonlyMap<string, readonly CommittedOffset[]>

  constructor(topic: string, partitions: number, groups: readonly string[]) {
    this.topic = topic
    this.byGroup = new Map(
      groups.map((group) => [
        group,
        Array.from({ length: partitions }, (_, partition) => new CommittedOffset(group, partition)),
      ]),
    )
  }

  of(group: string): readonly CommittedOffset[] {
    return this.byGroup.get(group)!
  }

  get acknowledgedCommits(): number {
    let sum = 0
    for (const offsets of this.byGroup.values()) for (const { promised } of offsets) sum += promised + 1
    return sum
  }
}

/** What is committed with an offset beside it, to be recognised. */
export function metadataOf(offset: number): string {
  return `at ${offset}`
}

export interface ToldOffset {
  readonly offset: number
  readonly metadata: string | null
}

/** What the broker tells of a group, by partition. */
export type ToldOffsets = ReadonlyMap<number, ToldOffset>

/**
 * Compares what a group's partitions are told to have with what was promised `before` the question was sent,
 * and takes what was shown for promised from then on.
 */
function judgeOffsets(
  offsets: readonly CommittedOffset[],
  promisedBefore: readonly number[],
  told: ToldOffsets,
): string[] {
  const faults: string[] = []
  offsets.forEach((history, index) => {
    const { group, partition, sent } = history
    const shown = told.get(partition)
    const of = `group ${group}, partition ${partition}`
    if (shown === undefined) {
      faults.push(`${of}: no committed offset is told`)
      return
    }
    const least = promisedBefore[index]!
    if (shown.offset < least) {
      faults.push(`${of}: offset ${least} was committed, now it is ${shown.offset}`)
    }
    if (shown.offset > sent) faults.push(`${of}: offset ${shown.offset} was never sent`)
    if (shown.offset >= 0 && shown.metadata !== metadataOf(shown.offset)) {
      faults.push(`${of}: offset ${shown.offset} has the metadata of another: ${shown.metadata}`)
    }
    if (shown.offset <= sent) history.promised = Math.max(history.promised, shown.offset)
  })
  return faults
}

/** Asks for the committed offsets of a group, as somebody who is no member of it, until the broker can tell. */
export async function askOffsets(
  connection: RawConnection,
  topic: string,
  groupId: string,
  partitionIndexes: readonly number[],
): Promise<ToldOffsets> {
  const answer = await retried(
    `asking for the offsets of group ${groupId}`,
    () =>
      connection.request(offsetFetch, FETCH_VERSION, {
        groups: [{ groupId, topics: [{ name: topic, partitionIndexes: [...partitionIndexes] }] }],
        requireStable: true,
      }),
    ({ groups: [group] }) => {
      if (group === undefined || group.errorCode !== 0) return group?.errorCode
      return group.topics[0]?.partitions.find(({ errorCode }) => errorCode !== 0)?.errorCode ?? 0
    },
  )
  return new Map(
    answer.groups[0]!.topics[0]?.partitions.map(({ partitionIndex, committedOffset, metadata }) => [
      partitionIndex,
      { offset: Number(committedOffset), metadata },
    ]),
  )
}

/** Asks for the offsets of these partitions of one group, and compares. */
export async function checkOffsets(
  connection: RawConnection,
  topic: string,
  offsets: readonly CommittedOffset[],
  tamper: (told: ToldOffsets) => ToldOffsets = (told) => told,
): Promise<string[]> {
  const [first] = offsets
  if (first === undefined) return []
  const promised = offsets.map((history) => history.promised)
  const partitions = offsets.map(({ partition }) => partition)
  const told = await askOffsets(connection, topic, first.group, partitions)
  return judgeOffsets(offsets, promised, tamper(told))
}
