import type { GroupDescription, StreamBus, TopicPartition } from '@streambus/client'
import { askingOptions, withCluster } from './client-session.ts'
import { counted, table } from './numbers.ts'
import { print } from './output.ts'
import type { GivenOptions } from './settings.ts'

export async function listGroups(given: GivenOptions): Promise<void> {
  await withCluster(given, askingOptions, async (bus) => {
    const listed = await bus.admin.listGroups()
    // Groups of other kinds (share groups) are listed, but their members are told by requests of their own.
    const describable = listed.filter(
      ({ type }) => type === null || type === 'classic' || type === 'consumer',
    )
    const described = new Map(
      (await bus.admin.describeGroups(describable.map(({ groupId }) => groupId))).map((one) => [
        one.groupId,
        one,
      ]),
    )
    const groups = listed.map(({ groupId, type, protocolType, state }) => ({
      group: groupId,
      type: type ?? described.get(groupId)?.type ?? null,
      protocol: protocolType,
      state: state ?? described.get(groupId)?.state ?? null,
      members: described.get(groupId)?.members.length ?? null,
    }))
    print(given, groups, () =>
      groups.length === 0
        ? 'There are no groups.\n'
        : table([
            ['Group', 'Type', 'Protocol', 'State', 'Members'],
            ...groups.map((one) => [
              one.group,
              one.type ?? '-',
              one.protocol || '-',
              one.state ?? '-',
              one.members ?? '-',
            ]),
          ]),
    )
  })
}

export async function describeGroup(name: string, given: GivenOptions): Promise<void> {
  await withCluster(given, askingOptions, async (bus) => {
    const group = await bus.admin.describeGroup(name)
    const partitions = await progressOf(bus, group)
    const lag = partitions.reduce((sum, one) => sum + (one.lag ?? 0), 0)
    const committed = partitions.filter((one) => one.lag !== null)
    const where = committed.length < partitions.length ? ' where it has committed' : ''
    const behind = committed.length === 0 ? 'nothing committed' : `${counted(lag, 'message')} behind${where}`
    const { type, protocolType, state, assignor, coordinator, members } = group
    print(
      given,
      { group: name, type, protocol: protocolType, state, assignor, coordinator, lag, members, partitions },
      () =>
        [
          `Group ${name}: ${state}, ${counted(members.length, 'member')}, ${behind}\n`,
          `Type ${type}, protocol ${protocolType || '-'}, assignor ${assignor ?? '-'}, `,
          `coordinator ${coordinator.id} (${coordinator.host}:${coordinator.port})\n`,
          members.length === 0
            ? ''
            : `\n${table([
                ['Member', 'Client', 'Host', 'Partitions'],
                ...members.map((one) => [one.memberId, one.clientId, one.host, partitionsOf(one.assigned)]),
              ])}`,
          partitions.length === 0
            ? '\nIt has no committed offsets.\n'
            : `\n${table([
                ['Topic', 'Partition', 'Committed', 'End', 'Lag', 'Member'],
                ...partitions.map((one) => [
                  one.topic,
                  one.partition,
                  one.committed ?? '-',
                  one.end ?? '-',
                  one.lag ?? '-',
                  one.member ?? '-',
                ]),
              ])}`,
        ].join(''),
    )
  })
}

export async function deleteGroup(name: string, given: GivenOptions): Promise<void> {
  await withCluster(given, askingOptions, async (bus) => {
    await bus.admin.deleteGroup(name)
    print(given, { group: name, deleted: true }, () => `Deleted group '${name}'.\n`)
  })
}

interface Progress extends TopicPartition {
  /** Null where the group has committed nothing. */
  committed: number | null
  /** Null where the topic is gone. */
  end: number | null
  lag: number | null
  member: string | null
}

/** Every partition the group has an offset of or a member for, by topic and number. */
async function progressOf(bus: StreamBus, { groupId, members }: GroupDescription): Promise<Progress[]> {
  const progress = new Map<string, Progress>()
  const entry = ({ topic, partition }: TopicPartition): Progress => {
    const key = `${topic}/${partition}`
    const known = progress.get(key) ?? {
      topic,
      partition,
      committed: null,
      end: null,
      lag: null,
      member: null,
    }
    progress.set(key, known)
    return known
  }
  for (const one of await bus.admin.fetchOffsets(groupId)) entry(one).committed = one.offset
  for (const { memberId, assigned } of members) for (const one of assigned) entry(one).member = memberId
  const topics = await bus.admin.listTopics({ internal: true })
  const counts = new Map(topics.map(({ name, partitions }) => [name, partitions.length]))
  const existing = [...progress.values()].filter((one) => one.partition < (counts.get(one.topic) ?? 0))
  const ends = await bus.admin.listOffsets(
    existing.map(({ topic, partition }) => ({ topic, partition, at: 'latest' as const })),
  )
  existing.forEach((one, index) => {
    one.end = ends[index]!.offset
    if (one.end !== null && one.committed !== null) one.lag = Math.max(0, one.end - one.committed)
  })
  return [...progress.values()].sort((a, b) =>
    a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1,
  )
}

/** `orders:0,1 payments:2` */
function partitionsOf(assigned: readonly TopicPartition[]): string {
  const topics = new Map<string, number[]>()
  for (const { topic, partition } of assigned) topics.set(topic, [...(topics.get(topic) ?? []), partition])
  if (topics.size === 0) return '-'
  return [...topics]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([topic, partitions]) => `${topic}:${partitions.sort((a, b) => a - b).join(',')}`)
    .join(' ')
}
