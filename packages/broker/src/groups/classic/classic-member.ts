import type { GroupMetadataValue, JoinGroupResponseInput, SyncGroupResponseInput } from '@streambus/protocol'
import type { Scheduled } from '../../coordinator/scheduler.ts'
import type { Reply } from '../reply.ts'

/** A way of assigning that a member knows, with what it says of itself for it. */
export interface MemberProtocol {
  readonly name: string
  readonly metadata: Uint8Array
}

export const NO_BYTES = new Uint8Array(0)

/** What an object of this class takes with its timer, roughly, beside what comes from the client. */
export const MEMBER_OVERHEAD_BYTES = 1500
const PROTOCOL_BYTES = 320

/** One member of a classic group. */
export class ClassicMember {
  readonly id: string
  /** Set for static members (KIP-345): they keep their place when they come back under another id. */
  readonly instanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  rebalanceTimeoutMs: number
  sessionTimeoutMs: number
  /** In order of preference. Changed by the group only. */
  protocols: readonly MemberProtocol[]
  /** What the leader gave it in the current generation. Changed by the group only. */
  assignment: Uint8Array = NO_BYTES
  /** Present while its JoinGroup waits. Changed by the group only. */
  awaitingJoin: Reply<JoinGroupResponseInput> | undefined
  /** Present while its SyncGroup waits. */
  awaitingSync: Reply<SyncGroupResponseInput> | undefined
  /** True until it has seen a join complete: it has no session yet, as it cannot send heartbeats. */
  isNew = false
  session: Scheduled | undefined

  constructor(member: {
    readonly id: string
    readonly instanceId: string | null
    readonly clientId: string
    readonly clientHost: string
    readonly rebalanceTimeoutMs: number
    readonly sessionTimeoutMs: number
    readonly protocols: readonly MemberProtocol[]
    readonly assignment?: Uint8Array
  }) {
    this.id = member.id
    this.instanceId = member.instanceId
    this.clientId = member.clientId
    this.clientHost = member.clientHost
    this.rebalanceTimeoutMs = member.rebalanceTimeoutMs
    this.sessionTimeoutMs = member.sessionTimeoutMs
    this.protocols = member.protocols
    if (member.assignment !== undefined) this.assignment = member.assignment
  }

  /** Bytes it takes in memory, roughly. */
  get byteLength(): number {
    let bytes = MEMBER_OVERHEAD_BYTES + protocolBytes(this.protocols) + this.assignment.byteLength
    bytes += this.id.length + (this.instanceId?.length ?? 0) + this.clientId.length + this.clientHost.length
    return bytes
  }

  /** What it says of itself for a protocol; nothing for one it does not know. */
  metadataFor(protocolName: string | null): Uint8Array {
    return this.protocols.find(({ name }) => name === protocolName)?.metadata ?? NO_BYTES
  }

  /** Whether it says the same of itself as before. */
  hasProtocols(protocols: readonly MemberProtocol[]): boolean {
    if (protocols.length !== this.protocols.length) return false
    return this.protocols.every(({ name, metadata }, at) => {
      const other = protocols[at]!
      return name === other.name && Buffer.compare(metadata, other.metadata) === 0
    })
  }

  /** The first of the candidates in its own order of preference. */
  vote(candidates: ReadonlySet<string>): string | undefined {
    return this.protocols.find(({ name }) => candidates.has(name))?.name
  }
}

export function protocolBytes(protocols: readonly MemberProtocol[]): number {
  let bytes = 0
  for (const { name, metadata } of protocols) bytes += PROTOCOL_BYTES + name.length + metadata.byteLength
  return bytes
}

/** The members a record names. They know the one protocol that was chosen; which others they know they say when they join again. */
export function membersOf(value: GroupMetadataValue): ClassicMember[] {
  const { protocol } = value
  return value.members.map((member) => {
    // The memory of what is read from a log is used again.
    const metadata = Uint8Array.from(member.subscription)
    return new ClassicMember({
      id: member.memberId,
      instanceId: member.groupInstanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      // Version 0 of the record did not tell them apart.
      rebalanceTimeoutMs: member.rebalanceTimeout === -1 ? member.sessionTimeout : member.rebalanceTimeout,
      sessionTimeoutMs: member.sessionTimeout,
      protocols: protocol === null ? [] : [{ name: protocol, metadata }],
      assignment: Uint8Array.from(member.assignment),
    })
  })
}
