import { type DescribeGroupsResponse, describeGroups } from '@streambus/protocol'
import { brokerError } from '../errors.ts'
import type { Connected } from './connection.ts'
import type { ConsumerGroupState, GroupDescription } from './types.ts'

/** From version 6 on, a group that does not exist is an error; before, it is one that is dead. */
const maxVersion = 5

/** A group as kafkajs describes it: what members told each other stays in bytes. */
export async function describeGroup({ coordinators }: Connected, groupId: string): Promise<GroupDescription> {
  return await coordinators.retrying('group', groupId, 'control', async (connection) => {
    const { groups } = await connection.request(describeGroups, { groups: [groupId] }, { maxVersion })
    const group = groups[0]
    if (group === undefined || group.errorCode !== 0) {
      throw brokerError(group?.errorCode ?? -1, `Cannot describe group '${groupId}'`, group?.errorMessage)
    }
    return described(group)
  })
}

function described(group: DescribeGroupsResponse['groups'][number]): GroupDescription {
  return {
    groupId: group.groupId,
    protocol: group.protocolData,
    protocolType: group.protocolType,
    state: group.groupState as ConsumerGroupState,
    members: group.members.map(({ clientHost, clientId, memberId, memberAssignment, memberMetadata }) => ({
      clientHost,
      clientId,
      memberId,
      memberAssignment: Buffer.from(memberAssignment),
      memberMetadata: Buffer.from(memberMetadata),
    })),
  }
}
