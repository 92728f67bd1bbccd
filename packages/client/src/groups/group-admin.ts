/** Groups seen from outside: which there are, who is in them, and away with them. */
import {
  CONSUMER_PROTOCOL_TYPE,
  consumerGroupDescribe,
  deleteGroups,
  describeGroups,
  ErrorCode,
  listGroups,
} from '@streambus/protocol'
import type { BrokerInfo, Cluster, RetryOptions } from '../cluster.ts'
import type { Connection } from '../connection.ts'
import { brokerError, isStreamBusError, StreamBusError } from '../errors.ts'
import type { TopicPartition } from '../list-offsets.ts'
import { versionFor } from '../version-for.ts'
import { decodeAssignment } from './consumer-protocol.ts'
import type { Coordinators } from './coordinators.ts'

export interface GroupListing {
  readonly groupId: string
  /** `classic`, `consumer` (KIP-848), `share`; null where the broker is too old to tell. */
  readonly type: string | null
  /** What its members are: `consumer`, `connect`; empty for a group that only committed offsets. */
  readonly protocolType: string
  /** Kafka's name: Empty, PreparingRebalance, CompletingRebalance, Stable, Assigning, Reconciling, Dead. */
  readonly state: string | null
  /** The broker that looks after it. */
  readonly coordinator: BrokerInfo
}

export interface GroupMember {
  readonly memberId: string
  /** Of a static member, else null. */
  readonly instanceId: string | null
  readonly clientId: string
  readonly host: string
  readonly assigned: readonly TopicPartition[]
}

export interface GroupDescription {
  readonly groupId: string
  readonly type: 'classic' | 'consumer'
  readonly protocolType: string
  readonly state: string
  /** How partitions are shared out; null while that is not decided. */
  readonly assignor: string | null
  readonly coordinator: BrokerInfo
  readonly members: readonly GroupMember[]
}

export interface GroupFilter {
  /** Kafka's names, as in `GroupListing.state`. Default: all. Needs Apache Kafka 2.6. */
  states?: readonly string[]
  /** `classic`, `consumer`, `share`, `streams`. Default: all. Needs Apache Kafka 3.8. */
  types?: readonly string[]
}

/** Every group of the cluster, by name. Each broker tells those it coordinates. */
export async function listAllGroups(
  cluster: Cluster,
  lane: string,
  { states = [], types = [], ...options }: GroupFilter & RetryOptions = {},
): Promise<GroupListing[]> {
  const needed = types.length > 0 ? 5 : states.length > 0 ? 4 : 0
  return await cluster.retrying(async () => {
    await cluster.describe([])
    const lists = cluster.info.brokers.map(async (coordinator) => {
      const connection = await cluster.connectionTo(coordinator.id, lane)
      const version = versionFor(connection, listGroups, needed, 'list groups by state or type')
      const { errorCode, groups } = await connection.request(listGroups, {
        ...(version >= 4 && { statesFilter: [...states] }),
        ...(version >= 5 && { typesFilter: [...types] }),
      })
      if (errorCode !== 0) throw brokerError(errorCode, `Broker ${coordinator.id} cannot list its groups`)
      return groups.map(
        ({ groupId, protocolType, groupState, groupType }): GroupListing => ({
          groupId,
          type: groupType.toLowerCase() || null,
          protocolType,
          state: groupState || null,
          coordinator,
        }),
      )
    })
    return (await Promise.all(lists)).flat().sort((a, b) => (a.groupId < b.groupId ? -1 : 1))
  }, options)
}

/** In the order of the ids; groups that do not exist are left out. */
export async function describeAllGroups(
  cluster: Cluster,
  coordinators: Coordinators,
  lane: string,
  groupIds: readonly string[],
  options: RetryOptions = {},
): Promise<GroupDescription[]> {
  return await cluster.retrying(async () => {
    try {
      const described = new Map<string, GroupDescription>()
      const nodes = await coordinators.find('group', groupIds)
      for (const node of new Set(nodes.values())) {
        const ids = groupIds.filter((id) => nodes.get(id) === node)
        const connection = await coordinators.connectionTo('group', ids[0] as string, lane)
        const coordinator = cluster.info.brokers.find(({ id }) => id === node) as BrokerInfo
        for (const group of await describeOn(connection, coordinator, ids))
          described.set(group.groupId, group)
      }
      return groupIds.map((id) => described.get(id)).filter((group) => group !== undefined)
    } catch (error) {
      if (isStreamBusError(error) && error.retriable)
        for (const id of groupIds) coordinators.forget('group', id)
      throw error
    }
  }, options)
}

/** Groups the coordinator does not know are left out. Each kind of group has a request of its own. */
async function describeOn(
  connection: Connection,
  coordinator: BrokerInfo,
  groupIds: readonly string[],
): Promise<GroupDescription[]> {
  const described: GroupDescription[] = []
  let remaining = groupIds
  if (connection.versionOf(consumerGroupDescribe) !== undefined) {
    const answer = await connection.request(consumerGroupDescribe, {
      groupIds: [...groupIds],
      includeAuthorizedOperations: false,
    })
    const notOfThisKind: string[] = []
    for (const group of answer.groups) {
      if (isOtherKind(group.errorCode)) {
        notOfThisKind.push(group.groupId)
        continue
      }
      if (group.errorCode !== 0) throw cannotDescribe(group)
      described.push({
        groupId: group.groupId,
        type: 'consumer',
        protocolType: CONSUMER_PROTOCOL_TYPE,
        state: group.groupState,
        assignor: group.assignorName || null,
        coordinator,
        members: group.members.map(({ memberId, instanceId, clientId, clientHost, assignment }) => ({
          memberId,
          instanceId,
          clientId,
          host: hostOf(clientHost),
          assigned: assignment.topicPartitions.flatMap(({ topicName, partitions }) =>
            partitions.map((partition) => ({ topic: topicName, partition })),
          ),
        })),
      })
    }
    remaining = notOfThisKind
  }
  if (remaining.length === 0) return described
  const answer = await connection.request(describeGroups, { groups: [...remaining] })
  for (const group of answer.groups) {
    if (group.errorCode === ErrorCode.GROUP_ID_NOT_FOUND || group.groupState === 'Dead') continue
    if (group.errorCode !== 0) throw cannotDescribe(group)
    const isConsumer = group.protocolType === CONSUMER_PROTOCOL_TYPE
    described.push({
      groupId: group.groupId,
      type: 'classic',
      protocolType: group.protocolType,
      state: group.groupState,
      assignor: group.protocolData || null,
      coordinator,
      members: group.members.map(({ memberId, groupInstanceId, clientId, clientHost, memberAssignment }) => ({
        memberId,
        instanceId: groupInstanceId,
        clientId,
        host: hostOf(clientHost),
        assigned: isConsumer ? decodeAssignment(memberAssignment) : [],
      })),
    })
  }
  return described
}

/**
 * Whether a coordinator says that a group is no consumer group (KIP-848). Kafka 3.8 and 3.9 offer the request also
 * where they are not set up for such groups, and answer that they do not know it.
 */
export function isOtherKind(errorCode: number): boolean {
  return errorCode === ErrorCode.GROUP_ID_NOT_FOUND || errorCode === ErrorCode.UNSUPPORTED_VERSION
}

/** Deletes a group and its offsets. Rejects with UNKNOWN_GROUP or GROUP_NOT_EMPTY. */
export async function deleteGroup(
  coordinators: Coordinators,
  lane: string,
  groupId: string,
  options: RetryOptions = {},
): Promise<void> {
  const ask = async (connection: Connection) => {
    const answer = await connection.request(deleteGroups, { groupsNames: [groupId] })
    const errorCode = answer.results[0]?.errorCode ?? ErrorCode.UNKNOWN_SERVER_ERROR
    if (errorCode === ErrorCode.GROUP_ID_NOT_FOUND) {
      throw new StreamBusError('UNKNOWN_GROUP', `There is no group '${groupId}' on this cluster.`, {
        brokerError: 'GROUP_ID_NOT_FOUND',
      })
    }
    const stop = errorCode === ErrorCode.NON_EMPTY_GROUP ? 'it has running members; stop them first' : null
    if (errorCode !== 0) throw brokerError(errorCode, `Cannot delete group '${groupId}'`, stop)
  }
  await coordinators.retrying('group', groupId, lane, ask, options)
}

function cannotDescribe(group: { groupId: string; errorCode: number; errorMessage: string | null }) {
  return brokerError(group.errorCode, `Cannot describe group '${group.groupId}'`, group.errorMessage)
}

/** Java brokers put a slash before the address, as Java prints it. */
function hostOf(clientHost: string): string {
  return clientHost.replace(/^\//, '')
}
