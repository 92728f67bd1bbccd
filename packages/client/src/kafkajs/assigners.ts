/** How the leader of a group shares out partitions, as kafkajs programs name and write it. */
import {
  decodeConsumerAssignment,
  decodeConsumerSubscription,
  decodeSubscribedTopics,
  encodeConsumerAssignment,
  encodeConsumerSubscription,
} from '@streambus/protocol'
import type { Cluster } from '../cluster.ts'
import type { MemberAssignor } from '../groups/assignor.ts'
import { decodeAssignment } from '../groups/consumer-protocol.ts'
import type { TopicPartition } from '../list-offsets.ts'
import { KafkaJSNonRetriableError } from './errors.ts'
import type { Logger } from './logger.ts'
import { partitionMetadataOf } from './sending.ts'
import type { PartitionMetadata } from './types.ts'

/** What an assigner may ask of the cluster. */
export interface AssignerCluster {
  findTopicPartitionMetadata(topic: string): PartitionMetadata[]
}

export type PartitionAssigner = (config: {
  cluster: AssignerCluster
  groupId: string
  logger: Logger
}) => Assigner

export type Assignment = { [topic: string]: number[] }
export type GroupMember = { memberId: string; memberMetadata: Buffer }
export type GroupMemberAssignment = { memberId: string; memberAssignment: Buffer }
export type GroupState = { name: string; metadata: Buffer }

export type Assigner = {
  name: string
  version: number
  assign(group: { members: GroupMember[]; topics: string[] }): Promise<GroupMemberAssignment[]>
  protocol(subscription: { topics: string[] }): GroupState
}

export type MemberMetadata = {
  version: number
  topics: string[]
  userData: Buffer
}

export type MemberAssignment = {
  version: number
  assignment: Assignment
  userData: Buffer
}

const noUserData = Buffer.alloc(0)

/** What members tell the leader, and it them: Kafka's own format in its first version, which every client reads. */
export const AssignerProtocol: {
  MemberMetadata: {
    encode(value: Omit<MemberMetadata, 'userData'> & { userData?: Buffer }): Buffer
    decode(buffer: Buffer): MemberMetadata | null
  }
  MemberAssignment: {
    encode(value: Omit<MemberAssignment, 'userData'> & { userData?: Buffer }): Buffer
    decode(buffer: Buffer): MemberAssignment | null
  }
} = {
  MemberMetadata: {
    encode: ({ topics, userData = noUserData }) =>
      Buffer.from(encodeConsumerSubscription(0, { topics, userData })),
    decode: (buffer) => {
      if (buffer.byteLength < 2) return null
      return {
        version: buffer.readInt16BE(0),
        topics: decodeSubscribedTopics(buffer),
        userData: Buffer.from(decodeConsumerSubscription(buffer).userData ?? noUserData),
      }
    },
  },
  MemberAssignment: {
    encode: ({ assignment, userData = noUserData }) => {
      const assignedPartitions = Object.entries(assignment).map(([topic, partitions]) => ({
        topic,
        partitions,
      }))
      return Buffer.from(encodeConsumerAssignment(0, { assignedPartitions, userData }))
    },
    decode: (buffer) => {
      if (buffer.byteLength < 2) return null
      const { assignedPartitions, userData } = decodeConsumerAssignment(buffer)
      const assignment = Object.fromEntries(
        assignedPartitions.map(({ topic, partitions }) => [topic, [...partitions]]),
      )
      return {
        version: buffer.readInt16BE(0),
        assignment,
        userData: Buffer.from(userData ?? noUserData),
      }
    },
  },
}

/**
 * Deals the partitions of all topics out one by one, to those who read the topic. Under the name and with the outcome
 * of kafkajs, so that its members and these share a group while a program is moved from one to the other.
 */
const roundRobin: PartitionAssigner = ({ cluster }) => ({
  name: 'RoundRobinAssigner',
  version: 0,
  async assign({ members, topics }) {
    const readers = members
      .map(({ memberId, memberMetadata }) => ({
        memberId,
        topics: new Set(decodeSubscribedTopics(memberMetadata)),
        assignment: {} as Assignment,
      }))
      .sort((a, b) => (a.memberId < b.memberId ? -1 : 1))
    let turn = 0
    for (const topic of topics) {
      const ofTopic = readers.filter((reader) => reader.topics.has(topic))
      for (const { partitionId } of cluster.findTopicPartitionMetadata(topic)) {
        const reader = ofTopic[turn++ % ofTopic.length]
        if (reader === undefined) break
        const partitions = reader.assignment[topic]
        if (partitions === undefined) reader.assignment[topic] = [partitionId]
        else partitions.push(partitionId)
      }
    }
    return readers.map(({ memberId, assignment }) => ({
      memberId,
      memberAssignment: AssignerProtocol.MemberAssignment.encode({ version: 0, assignment }),
    }))
  },
  protocol({ topics }) {
    return { name: this.name, metadata: AssignerProtocol.MemberMetadata.encode({ version: 0, topics }) }
  },
})

export const PartitionAssigners: { roundRobin: PartitionAssigner } = { roundRobin }

/** The view of the cluster an assigner has; `current` is undefined while nobody has connected. */
export function assignerCluster(current: () => Cluster | undefined): AssignerCluster {
  return {
    findTopicPartitionMetadata(topic) {
      const info = current()?.cachedTopic(topic)
      return info === undefined ? [] : partitionMetadataOf(info)
    },
  }
}

/** An assigner of a kafkajs program, as a member of a group of the SDK offers it. */
export function memberAssignor(assigner: Assigner, topics: readonly string[]): MemberAssignor {
  const { name, metadata } = assigner.protocol({ topics: [...topics] })
  const own = AssignerProtocol.MemberMetadata.decode(metadata)?.userData ?? noUserData
  if (typeof name !== 'string' || name === '') {
    throw new KafkaJSNonRetriableError('The protocol of a partition assigner must have a name')
  }
  return {
    name,
    incremental: false,
    ...(own.byteLength === 0 ? {} : { userData: () => own }),
    async assign(partitionCounts, members) {
      const assigned = await assigner.assign({
        members: members.map((member) => ({
          memberId: member.memberId,
          memberMetadata: AssignerProtocol.MemberMetadata.encode({
            version: assigner.version,
            topics: [...member.topics],
            userData: Buffer.from(member.userData ?? noUserData),
          }),
        })),
        topics: [...partitionCounts.keys()],
      })
      const byMember = new Map<string, TopicPartition[]>()
      for (const { memberId, memberAssignment } of assigned) {
        byMember.set(memberId, decodeAssignment(memberAssignment))
      }
      return new Map(members.map(({ memberId }) => [memberId, byMember.get(memberId) ?? []]))
    },
  }
}
