import type { OffsetCommitValue } from '@streambus/protocol'
import type { Offset } from '@streambus/storage'

const NONE = -1
/** What one offset takes in memory, roughly, with its place in the maps, beside its metadata. */
const OFFSET_BYTES = 300

/** An offset that a group has committed for one partition. There may be millions: small, and of one shape. */
export class CommittedOffset {
  /** The record the group goes on with. */
  readonly offset: Offset
  /** Of the last record consumed; -1 where the client did not say. */
  readonly leaderEpoch: number
  readonly metadata: string
  readonly commitTimestampMs: number
  /** From clients that gave a retention time (OffsetCommit v2–4); -1 otherwise. */
  readonly expireTimestampMs: number
  /** Where the commit lies in the log: the later of two counts. Known when it is durable. */
  recordOffset: Offset

  constructor(
    offset: Offset,
    leaderEpoch: number,
    metadata: string,
    commitTimestampMs: number,
    expireTimestampMs: number,
    recordOffset: Offset = NONE,
  ) {
    this.offset = offset
    this.leaderEpoch = leaderEpoch
    this.metadata = metadata
    this.commitTimestampMs = commitTimestampMs
    this.expireTimestampMs = expireTimestampMs
    this.recordOffset = recordOffset
  }

  static fromRecord(value: OffsetCommitValue, recordOffset: Offset): CommittedOffset {
    return new CommittedOffset(
      Number(value.offset),
      value.leaderEpoch,
      value.metadata,
      Number(value.commitTimestamp),
      Number(value.expireTimestamp),
      recordOffset,
    )
  }

  /** Bytes it takes in memory, roughly. */
  get byteLength(): number {
    return OFFSET_BYTES + this.metadata.length
  }

  isExpired(nowMs: number, unusedSinceMs: number, retentionMs: number): boolean {
    if (this.expireTimestampMs !== NONE) return nowMs >= this.expireTimestampMs
    return nowMs - unusedSinceMs >= retentionMs
  }
}
