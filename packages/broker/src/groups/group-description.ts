import type { ClassicGroup } from './classic/classic-group.ts'
import { NO_BYTES } from './classic/classic-member.ts'
import type { Group, GroupKind } from './group.ts'

/** A group as ListGroups shows it. */
export interface ListedGroup {
  readonly groupId: string
  readonly protocolType: string
  readonly groupState: string
  readonly groupType: GroupKind
}

export function listGroup({ id, protocolType, state, kind }: Group): ListedGroup {
  return { groupId: id, protocolType, groupState: state, groupType: kind }
}

/** A classic group as DescribeGroups shows it. */
export interface DescribedGroup {
  readonly groupState: string
  readonly protocolType: string
  /** The protocol that was chosen; '' where the group is not stable. */
  readonly protocolData: string
  readonly members: readonly {
    readonly memberId: string
    readonly groupInstanceId: string | null
    readonly clientId: string
    readonly clientHost: string
    readonly memberMetadata: Uint8Array
    readonly memberAssignment: Uint8Array
  }[]
}

export function describeGroup(group: ClassicGroup): DescribedGroup {
  const { state, protocolType, protocolName } = group
  // In between, metadata and assignments belong to different generations.
  const isStable = state === 'Stable'
  return {
    groupState: state,
    protocolType,
    protocolData: isStable ? (protocolName ?? '') : '',
    members: Array.from(group.members(), (member) => ({
      memberId: member.id,
      groupInstanceId: member.instanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      memberMetadata: isStable ? member.metadataFor(protocolName) : NO_BYTES,
      memberAssignment: isStable ? member.assignment : NO_BYTES,
    })),
  }
}
