/** What the brokers let this client do (KIP-430). */
import {
  consumerGroupDescribe,
  describeCluster,
  describeGroups,
  ErrorCode,
  metadata,
} from '@streambus/protocol'
import type { Connection } from '../connection.ts'
import { brokerError } from '../errors.ts'
import { isOtherKind } from '../groups/group-admin.ts'
import { versionFor } from '../version-for.ts'
import type { AdminOptions, AdminRequests } from './admin-requests.ts'
import { unknownGroup } from './group-members.ts'
import { type Operation, operationsOf } from './operations.ts'
import { TopicPatience, topicError } from './topics.ts'

export type OperationsSubject = 'cluster' | { readonly topic: string } | { readonly group: string }

const BROKERS = 1

export function authorizedOperationsOn(
  requests: AdminRequests,
  subject: OperationsSubject,
  options: AdminOptions,
): Promise<Operation[] | null> {
  const { coordinators, lane } = requests
  if (subject === 'cluster') return requests.onAnyBroker(options, onCluster)
  if ('topic' in subject) {
    const patience = new TopicPatience()
    return requests.onAnyBroker(options, (connection) => onTopic(connection, subject.topic, patience))
  }
  return requests.within(options, () =>
    coordinators.retrying(
      'group',
      subject.group,
      lane,
      (connection) => onGroup(connection, subject.group),
      options,
    ),
  )
}

async function onCluster(connection: Connection): Promise<Operation[] | null> {
  const answer = await connection.request(describeCluster, {
    includeClusterAuthorizedOperations: true,
    endpointType: BROKERS,
    includeFencedBrokers: false,
  })
  if (answer.errorCode !== 0) {
    throw brokerError(answer.errorCode, 'Cannot describe the cluster', answer.errorMessage)
  }
  return operationsOf(answer.clusterAuthorizedOperations)
}

async function onTopic(
  connection: Connection,
  name: string,
  patience: TopicPatience,
): Promise<Operation[] | null> {
  const answer = await connection.request(metadata, {
    topics: [{ name }],
    allowAutoTopicCreation: false,
    includeTopicAuthorizedOperations: true,
  })
  const errorCode = answer.topics[0]?.errorCode ?? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
  if (errorCode !== 0) throw patience.with(topicError(errorCode, name, 'describe'))
  return operationsOf(answer.topics[0]!.topicAuthorizedOperations)
}

/** Each kind of group has a request of its own. */
async function onGroup(connection: Connection, groupId: string): Promise<Operation[] | null> {
  if (connection.versionOf(consumerGroupDescribe) !== undefined) {
    const body = { groupIds: [groupId], includeAuthorizedOperations: true }
    const [group] = (await connection.request(consumerGroupDescribe, body)).groups
    if (group?.errorCode === 0) return operationsOf(group.authorizedOperations)
    if (group !== undefined && !isOtherKind(group.errorCode)) {
      throw brokerError(group.errorCode, `Cannot describe group '${groupId}'`, group.errorMessage)
    }
  }
  versionFor(connection, describeGroups, 3, 'tell what may be done with a group')
  const body = { groups: [groupId], includeAuthorizedOperations: true }
  const [group] = (await connection.request(describeGroups, body)).groups
  const errorCode = group?.errorCode ?? ErrorCode.GROUP_ID_NOT_FOUND
  if (errorCode === ErrorCode.GROUP_ID_NOT_FOUND || group?.groupState === 'Dead') throw unknownGroup(groupId)
  if (errorCode !== 0) throw brokerError(errorCode, `Cannot describe group '${groupId}'`)
  return operationsOf(group!.authorizedOperations)
}
