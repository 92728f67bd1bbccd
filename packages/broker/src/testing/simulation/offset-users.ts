import {
  deleteGroups,
  describeGroups,
  listGroups,
  type OffsetFetchRequestInput,
  type OffsetFetchResponse,
  offsetDelete,
  offsetFetch,
} from '@streambus/protocol'
import { commitOffsets } from './group-observations.ts'
import { offsetKey, type ReplicaOffset } from './group-replica.ts'
import { Client } from './network.ts'
import { check } from './simulation-failure.ts'
import type { World } from './world.ts'

/** Commits offsets without being a member of anything: a consumer that chose its partitions itself. */
export async function runSimpleCommitter(
  world: World,
  groupId: string,
  topics: readonly string[],
): Promise<void> {
  const random = world.random.fork()
  const client = new Client(world.newName('committer-'), world.network, world.time)
  while (!world.isCalm) {
    await client.sleep(random.next() * 6000)
    const topic = random.pick(topics)
    const partitions = world.topic(topic)?.logs.length ?? 1
    const version = random.between(0, 10)
    await commitOffsets(
      world,
      client,
      version,
      { groupId, generation: -1, memberId: '', instanceId: null },
      random.some(Array.from({ length: partitions }, (_, partition) => partition)).map((partition) => ({
        topic,
        partition,
        offset: random.between(0, 1_000_000),
        metadata: world.newName('s'),
      })),
    )
  }
}

/** Asks for committed offsets: what it is told must be what is durable. */
export async function runOffsetReader(
  world: World,
  groupIds: readonly string[],
  topics: readonly string[],
): Promise<void> {
  const random = world.random.fork()
  const client = new Client(world.newName('reader-'), world.network, world.time)
  while (!world.isCalm) {
    await client.sleep(random.next() * 3000)
    const partitions = random.some(topics).map((name) => ({
      name,
      partitionIndexes: Array.from(
        { length: world.topic(name)?.logs.length ?? 1 },
        (_, partition) => partition,
      ),
    }))
    await fetchOffsets(world, client, random.some(groupIds), partitions, {
      version: random.between(1, 9),
      requireStable: random.chance(0.5),
    })
  }
}

type TopicPartitions = readonly { readonly name: string; readonly partitionIndexes: readonly number[] }[]

/** Fetches offsets of one group, or of several with a version that can. */
export async function fetchOffsets(
  world: World,
  client: Client,
  groupIds: readonly string[],
  topics: TopicPartitions,
  { version, requireStable }: { version: number; requireStable: boolean },
): Promise<OffsetFetchResponse | null> {
  const copies = topics.map(({ name, partitionIndexes }) => ({
    name,
    partitionIndexes: [...partitionIndexes],
  }))
  const asked = version >= 8 ? groupIds : groupIds.slice(0, 1)
  const body: OffsetFetchRequestInput = {
    groupId: version >= 8 ? '' : asked[0]!,
    topics: version >= 8 ? [] : copies,
    groups: version >= 8 ? asked.map((groupId) => ({ groupId, topics: copies })) : [],
    requireStable: version >= 7 && requireStable,
  }
  return client.call(offsetFetch, version, body, {
    timeoutMs: 10_000,
    observe: () => {
      const { step } = world.groups
      return (response) => {
        if (response === null || response.errorCode !== 0) return
        const groups =
          version >= 8 ? response.groups : [{ groupId: asked[0]!, errorCode: 0, topics: response.topics }]
        for (const { groupId, errorCode, topics } of groups) {
          if (errorCode !== 0) continue
          for (const { name, partitions } of topics) {
            for (const { partitionIndex, committedOffset, metadata, errorCode } of partitions) {
              if (errorCode !== 0) continue
              const key = offsetKey(groupId, name, partitionIndex)
              const possible = world.groups.offsetsSince(key, step)
              const isTold = (value: ReplicaOffset | undefined) =>
                // Offsets go with their topic, before the log says so.
                value === undefined || (committedOffset === -1n && world.isGone(value.topicId))
                  ? committedOffset === -1n
                  : BigInt(value.offset) === committedOffset && value.metadata === metadata
              check(
                possible.some(isTold),
                () =>
                  `the offset of ${key} was told to be ${committedOffset} '${metadata}', and durable is ${possible
                    .map((value) => (value === undefined ? 'none' : `${value.offset} '${value.metadata}'`))
                    .join(', then ')}`,
              )
            }
          }
        }
      }
    },
  })
}

/** Lists, describes and deletes groups and offsets. */
export async function runAdministrator(
  world: World,
  groupIds: readonly string[],
  topics: readonly string[],
): Promise<void> {
  const random = world.random.fork()
  const client = new Client(world.newName('admin-'), world.network, world.time)
  while (!world.isCalm) {
    await client.sleep(random.next() * 8000)
    const groupId = random.pick(groupIds)
    const forgets = () => {
      const end = world.asked.begin(`forget ${groupId}`)
      return () => end()
    }
    switch (random.between(0, 4)) {
      case 0:
        await client.call(
          deleteGroups,
          random.between(0, 2),
          { groupsNames: [groupId] },
          { observe: forgets },
        )
        break
      case 1:
      case 2: {
        const name = random.pick(topics)
        const partitions = world.topic(name)?.logs.length ?? 1
        await client.call(
          offsetDelete,
          0,
          {
            groupId,
            topics: [{ name, partitions: [{ partitionIndex: random.between(0, partitions - 1) }] }],
          },
          { observe: forgets },
        )
        break
      }
      case 3:
        await client.call(listGroups, random.between(0, 5), { statesFilter: [] })
        break
      default:
        await client.call(describeGroups, random.between(0, 6), { groups: [...groupIds] })
    }
  }
}
