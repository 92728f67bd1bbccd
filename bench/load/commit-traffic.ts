/** Groups of one member each, and the requests with which they commit the offset of one partition. */
import { encodeRequest, offsetCommit } from '@streambus/protocol'
import { awaitCoordinator, joinClassicGroup } from '../wire/group-membership.ts'
import { RawConnection } from '../wire/raw-connection.ts'

/** The last that names topics, which brokers of the last years all know. */
const COMMIT_VERSION = 9
const SESSION_TIMEOUT_MS = 45_000
const REBALANCE_TIMEOUT_MS = 60_000
/** Stands where the offset goes in a request, to be found and replaced. */
const OFFSET_MARK = 0x7a7b_7c7d_7e7f_7071n

export interface CommittingMember {
  readonly group: string
  readonly memberId: string
  readonly generationId: number
  readonly partition: number
}

/**
 * Makes `count` groups with one member each, all subscribed to `topic`. Their commits keep them alive, over
 * whatever connection they come.
 */
export async function committingGroups(
  port: number,
  topic: string,
  prefix: string,
  count: number,
): Promise<CommittingMember[]> {
  const groups = Array.from({ length: count }, (_, index) => `${prefix}-${index}`)
  // A join may hold up whatever comes after it on its connection.
  const connections = await Promise.all(groups.map(() => RawConnection.open(port)))
  try {
    await awaitCoordinator(connections[0]!, 'group', groups)
    return await Promise.all(
      groups.map(async (group, partition) => {
        const { memberId, generationId } = await joinClassicGroup(connections[partition]!, {
          group,
          topic,
          partitions: count,
          sessionTimeoutMs: SESSION_TIMEOUT_MS,
          rebalanceTimeoutMs: REBALANCE_TIMEOUT_MS,
        })
        return { group, memberId, generationId, partition }
      }),
    )
  } finally {
    for (const connection of connections) connection.close()
  }
}

/** The bytes of one member's commits, encoded once; only the offset changes. */
export class CommitRequest {
  readonly bytes: Buffer
  readonly #offsetPosition: number
  #offset = 0n

  constructor(topic: string, { group, memberId, generationId, partition }: CommittingMember) {
    const parts = encodeRequest(
      offsetCommit,
      COMMIT_VERSION,
      { correlationId: partition, clientId: 'load' },
      {
        groupId: group,
        generationIdOrMemberEpoch: generationId,
        memberId,
        topics: [
          {
            name: topic,
            partitions: [
              {
                partitionIndex: partition,
                committedOffset: OFFSET_MARK,
                committedLeaderEpoch: 0,
                committedMetadata: '',
              },
            ],
          },
        ],
      },
    )
    this.bytes = Buffer.concat(parts as Uint8Array[])
    const mark = Buffer.alloc(8)
    mark.writeBigInt64BE(OFFSET_MARK)
    this.#offsetPosition = this.bytes.indexOf(mark)
    this.#write()
  }

  advance(): void {
    this.#offset++
    this.#write()
  }

  /**
   * Where the error code lies in an answer: after length (4), correlation id (4), header tags (1), throttle
   * time (4), topic count (1), topic name, partition count (1) and partition index (4). The name is preceded
   * by its length, one byte below 127.
   */
  static errorCodePosition(topic: string): number {
    const nameBytes = Buffer.byteLength(topic)
    if (nameBytes > 126) throw new Error('the topic name is too long for a one-byte length')
    return 4 + 4 + 1 + 4 + 1 + 1 + nameBytes + 1 + 4
  }

  #write(): void {
    this.bytes.writeBigInt64BE(this.#offset, this.#offsetPosition)
  }
}
