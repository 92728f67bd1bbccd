import { setTimeout as sleep } from 'node:timers/promises'
import {
  ErrorCode,
  encodeConsumerSubscription,
  heartbeat,
  type JoinGroupRequestInput,
  type JoinGroupResponse,
  joinGroup,
  leaveGroup,
  offsetCommit,
  type SyncGroupRequestInput,
  syncGroup,
} from '@streambus/protocol'
import type { HostAndPort } from '../../options.ts'
import { RawClient } from '../../testing/raw-client.ts'

export interface JoinOptions extends Partial<JoinGroupRequestInput> {
  readonly version?: number
  readonly topics?: readonly string[]
}

/** One member of a classic group, on a connection of its own, that does exactly what it is told. */
export class TestMember {
  readonly client: RawClient
  readonly groupId: string
  memberId = ''
  generationId = -1
  leader = ''

  private constructor(client: RawClient, groupId: string) {
    this.client = client
    this.groupId = groupId
  }

  static async connect(broker: HostAndPort, groupId: string): Promise<TestMember> {
    return new TestMember(await RawClient.connect(broker), groupId)
  }

  get isLeader(): boolean {
    return this.leader === this.memberId
  }

  /** One JoinGroup; remembers the member id and the generation it is given. */
  async join({ version = 9, topics = ['words'], ...request }: JoinOptions = {}): Promise<JoinGroupResponse> {
    const joined = await this.client.request(joinGroup, version, joinRequest(this, topics, request))
    if (joined.memberId !== '') this.memberId = joined.memberId
    if (joined.errorCode === 0) {
      this.generationId = joined.generationId
      this.leader = joined.leader
    }
    return joined
  }

  /** Joins as clients do: a second time, with the id that the first one is answered with. */
  async enter(options: JoinOptions = {}): Promise<JoinGroupResponse> {
    if (this.memberId === '' && options.groupInstanceId === undefined) await this.join(options)
    return this.join(options)
  }

  /** @param assignments by member id; from the leader only. */
  sync(
    assignments: Readonly<Record<string, string>> = {},
    request: Partial<SyncGroupRequestInput> & { version?: number } = {},
  ) {
    const { version = 5, ...fields } = request
    return this.client.request(syncGroup, version, {
      groupId: this.groupId,
      generationId: this.generationId,
      memberId: this.memberId,
      assignments: Object.entries(assignments).map(([memberId, assignment]) => ({
        memberId,
        assignment: Buffer.from(assignment),
      })),
      ...fields,
    })
  }

  async heartbeat(options: { generationId?: number; groupInstanceId?: string } = {}): Promise<number> {
    const { groupId, memberId, generationId } = this
    const answer = await this.client.request(heartbeat, 4, { groupId, memberId, generationId, ...options })
    return answer.errorCode
  }

  /** Resolves when a heartbeat is answered that the group rebalances. The test's own timeout is the limit. */
  async hearsOfRebalance(): Promise<void> {
    while ((await this.heartbeat()) !== ErrorCode.REBALANCE_IN_PROGRESS) await sleep(2)
  }

  async leave(groupInstanceId: string | null = null) {
    const { groupId, memberId } = this
    const members = [{ memberId, groupInstanceId, reason: 'the test says so' }]
    return this.client.request(leaveGroup, 5, { groupId, members })
  }

  /** Commits an offset for partition 0 of a topic, and returns its error code. */
  async commit(
    topic: string,
    offset: number,
    options: { version?: number; generationId?: number; memberId?: string; groupInstanceId?: string } = {},
  ): Promise<number> {
    const { version = 9, generationId = this.generationId, memberId = this.memberId } = options
    const { topics } = await this.client.request(offsetCommit, version, {
      groupId: this.groupId,
      generationIdOrMemberEpoch: generationId,
      memberId,
      ...(options.groupInstanceId === undefined ? {} : { groupInstanceId: options.groupInstanceId }),
      topics: [
        {
          name: topic,
          partitions: [{ partitionIndex: 0, committedOffset: BigInt(offset), committedMetadata: 'here' }],
        },
      ],
    })
    return topics[0]!.partitions[0]!.errorCode
  }

  close(): void {
    this.client.close()
  }
}

export function joinRequest(
  { groupId, memberId }: { readonly groupId: string; readonly memberId: string },
  topics: readonly string[],
  request: Partial<JoinGroupRequestInput> = {},
): JoinGroupRequestInput {
  return {
    groupId,
    memberId,
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 20_000,
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: encodeConsumerSubscription(0, { topics }) }],
    ...request,
  }
}

/** All members join one group and get what the first of them assigns: '0', '1', … in the order given. */
export async function formGroup(members: readonly TestMember[], options: JoinOptions = {}): Promise<void> {
  for (const member of members) if (member.memberId === '') await member.join(options)
  await Promise.all(members.map((member) => member.join(options)))
  await syncAll(members)
}

export async function syncAll(members: readonly TestMember[]): Promise<void> {
  const assignments = Object.fromEntries(members.map(({ memberId }, index) => [memberId, String(index)]))
  await Promise.all(members.map((member) => member.sync(member.isLeader ? assignments : {})))
}
