/** kafkajs as a member of a group; arguments as in group-member.ts. */
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import { inputEnded, memberArguments, Ownership, tell } from './group-member.ts'

interface Consumer {
  readonly events: Record<'GROUP_JOIN' | 'REQUEST' | 'COMMIT_OFFSETS', string>
  on(event: string, listener: (event: { payload: never }) => void): void
  connect(): Promise<void>
  disconnect(): Promise<void>
  subscribe(options: { topics: string[]; fromBeginning: boolean }): Promise<void>
  run(options: {
    eachBatch(payload: {
      batch: { partition: number; messages: { offset: string }[] }
      isStale(): boolean
      heartbeat(): Promise<void>
    }): Promise<void>
  }): Promise<void>
}

interface AssignerCluster {
  findTopicPartitionMetadata(topic: string): { partitionId: number }[]
}

interface Committed {
  topics: { partitions: { partition: string; offset: string }[] }[]
}

/** Durations are counted in whole milliseconds. */
const CLOCK_STEP_MS = 1
const CLOSE_TIMEOUT_MS = 5_000

const { modulesDir, bootstrap, topic, group, sessionTimeoutMs } = memberArguments()
const { Kafka, AssignerProtocol, PartitionAssigners, logLevel } = createRequire(`${modulesDir}/package.json`)(
  'kafkajs',
) as {
  Kafka: new (options: object) => { consumer(options: object): Consumer }
  AssignerProtocol: Record<'MemberMetadata' | 'MemberAssignment', { encode(content: object): Buffer }>
  PartitionAssigners: { roundRobin: unknown }
  logLevel: { ERROR: number }
}
const kafka = new Kafka({
  clientId: 'interop-kafkajs-member',
  brokers: [bootstrap],
  logLevel: logLevel.ERROR,
  retry: { initialRetryTime: 50, maxRetryTime: 1_000, retries: 50 },
})

/**
 * The range assignor of the other clients, which kafkajs lacks, as the plug-in that its documentation describes: its
 * own round robin is known to nobody else. Used where a group has members of others.
 */
const range = ({ cluster }: { cluster: AssignerCluster }) => ({
  name: 'range',
  version: 0,
  async assign({ members, topics }: { members: { memberId: string }[]; topics: string[] }) {
    const memberIds = members.map(({ memberId }) => memberId).sort()
    return memberIds.map((memberId, index) => {
      const assignment = topics.map((name) => {
        const partitions = cluster.findTopicPartitionMetadata(name).map(({ partitionId }) => partitionId)
        const share = (of: number) =>
          of * Math.floor(partitions.length / memberIds.length) +
          Math.min(of, partitions.length % memberIds.length)
        return [name, partitions.sort((a, b) => a - b).slice(share(index), share(index + 1))]
      })
      const content = { version: 0, assignment: Object.fromEntries(assignment) }
      return { memberId, memberAssignment: AssignerProtocol.MemberAssignment.encode(content) }
    })
  },
  protocol: ({ topics }: { topics: string[] }) => ({
    name: 'range',
    metadata: AssignerProtocol.MemberMetadata.encode({ version: 0, topics, userData: Buffer.alloc(0) }),
  }),
})

const consumer = kafka.consumer({
  partitionAssigners: [PartitionAssigners.roundRobin, range],
  groupId: group,
  sessionTimeout: sessionTimeoutMs,
  rebalanceTimeout: 20_000,
  heartbeatInterval: 500,
  maxWaitTimeInMs: 200,
})
const owned = new Ownership()
// A member gives up what it has when it asks to join again, whatever made it ask, or leaves. It tells when it has the
// answer.
consumer.on(consumer.events.REQUEST, ({ payload }) => {
  const { apiName, duration } = payload as { apiName: string; duration: number }
  if (apiName === 'JoinGroup' || apiName === 'LeaveGroup') owned.clear(duration + CLOCK_STEP_MS)
})
consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
  const { memberAssignment } = payload as { memberAssignment: Record<string, number[]> }
  owned.set(memberAssignment[topic] ?? [])
})
consumer.on(consumer.events.COMMIT_OFFSETS, ({ payload }) => {
  for (const { partitions } of (payload as Committed).topics) {
    for (const { partition, offset } of partitions) tell('commit', partition, offset)
  }
})
await consumer.connect()
await consumer.subscribe({ topics: [topic], fromBeginning: true })
await consumer.run({
  async eachBatch({ batch: { partition, messages }, heartbeat }) {
    let first = Number(messages[0]!.offset)
    let last = first
    for (const message of messages) {
      const offset = Number(message.offset)
      if (offset > last + 1) {
        tell('process', partition, first, last)
        first = offset
      }
      last = offset
    }
    tell('process', partition, first, last)
    await heartbeat()
  },
})
await inputEnded()
// Once it has lost the broker and come back, it may never end disconnecting.
await Promise.race([consumer.disconnect(), sleep(CLOSE_TIMEOUT_MS)])
owned.clear(0)
tell('closed')
process.exit(0)
