import { ErrorCode, type JoinGroupResponseInput, type SyncGroupResponseInput } from '@streambus/protocol'
import type { ClassicGroup } from './classic-group.ts'
import { type ClassicMember, NO_BYTES } from './classic-member.ts'

export function joinFailure(memberId: string, errorCode: number): JoinGroupResponseInput {
  return { errorCode, generationId: -1, protocolName: null, leader: '', memberId, members: [] }
}

export function syncFailure(errorCode: number): SyncGroupResponseInput {
  return { errorCode, assignment: NO_BYTES }
}

/** The current generation, for a member of it. The leader hears who the others are. */
export function joined(group: ClassicGroup, memberId: string): JoinGroupResponseInput {
  return {
    errorCode: ErrorCode.NONE,
    generationId: group.generation,
    protocolType: group.protocolType,
    protocolName: group.protocolName,
    leader: group.leaderId ?? '',
    memberId,
    members: group.isLeader(memberId) ? membersForLeader(group) : [],
  }
}

function membersForLeader(group: ClassicGroup): JoinGroupResponseInput['members'] {
  return [...group.members()].map((member) => ({
    memberId: member.id,
    groupInstanceId: member.instanceId,
    metadata: member.metadataFor(group.protocolName),
  }))
}

export function assigned(group: ClassicGroup, member: ClassicMember): SyncGroupResponseInput {
  return {
    errorCode: ErrorCode.NONE,
    protocolType: group.protocolType,
    protocolName: group.protocolName,
    assignment: member.assignment,
  }
}
