import { isStreamBusError } from '@streambus/client'
import { askingOptions, pairs, withCluster } from './client-session.ts'
import { warn } from './failure.ts'
import { keptLine } from './kept-line.ts'
import { counted, formatBytes, table } from './numbers.ts'
import { print } from './output.ts'
import { type GivenOptions, integer } from './settings.ts'
import { storageTable } from './topic-storage.ts'

export async function createTopic(name: string, given: GivenOptions): Promise<void> {
  const count = (option: string, flag: string) => {
    const value = given[option] as string | undefined
    return value === undefined ? undefined : integer(1, 2 ** 31 - 1).parse(value, flag)
  }
  const partitions = count('partitions', '--partitions')
  const replicationFactor = count('replicationFactor', '--replication-factor')
  const configs = Object.fromEntries(pairs('--set', (given.set as string[] | undefined) ?? []))
  await withCluster(given, askingOptions, async (bus) => {
    await bus.admin.createTopic(name, {
      ...(partitions === undefined ? {} : { partitions }),
      ...(replicationFactor === undefined ? {} : { replicationFactor }),
      configs,
    })
    const created = await bus.admin.partitionsOf(name)
    print(
      given,
      { topic: name, partitions: created },
      () => `Created topic '${name}' with ${created} ${created === 1 ? 'partition' : 'partitions'}.\n`,
    )
  })
}

export async function deleteTopic(name: string, given: GivenOptions): Promise<void> {
  await withCluster(given, askingOptions, async (bus) => {
    await bus.admin.deleteTopic(name)
    print(given, { topic: name, deleted: true }, () => `Deleted topic '${name}'.\n`)
  })
}

export async function listTopics(given: GivenOptions): Promise<void> {
  await withCluster(given, askingOptions, async (bus) => {
    const topics = await bus.admin.listTopics()
    print(
      given,
      topics.map(({ name, id, partitions }) => ({
        name,
        id,
        partitions: partitions.length,
        replicationFactor: partitions[0]?.replicas.length ?? 0,
      })),
      () =>
        topics.length === 0
          ? 'There are no topics.\n'
          : table([
              ['Topic', 'Partitions', 'Replicas'],
              ...topics.map(({ name, partitions }) => [
                name,
                partitions.length,
                partitions[0]?.replicas.length ?? 0,
              ]),
            ]),
    )
  })
}

export async function describeTopic(name: string, given: GivenOptions): Promise<void> {
  await withCluster(given, askingOptions, async (bus) => {
    const topic = await bus.admin.describeTopic(name)
    const { partitions, configs } = topic
    // It reads records: where one is damaged, the rest is still worth showing.
    const storage = await bus.admin.describeStorage(name).catch((error: unknown) => {
      if (!isStreamBusError(error)) throw error
      warn(`How the partitions are kept is not known: ${error.message}`)
      return null
    })
    const sizes = partitions.map(({ sizeBytes }) => sizeBytes ?? 0)
    const records = partitions.reduce((sum, { earliest, latest }) => sum + latest - earliest, 0)
    const set = configs.filter(({ isDefault }) => !isDefault)
    print(given, { ...topic, storage }, () => {
      const rows = partitions.map((one) => [
        one.partition,
        one.leader,
        one.replicas.join(','),
        one.inSyncReplicas.join(','),
        one.earliest,
        one.latest,
        one.sizeBytes === null ? '-' : formatBytes(one.sizeBytes),
      ])
      return [
        `Topic ${name} (${topic.id}): ${counted(records, 'record')}, ${formatBytes(sizes.reduce((a, b) => a + b, 0))}\n`,
        keptLine(configs),
        table([['Partition', 'Leader', 'Replicas', 'In sync', 'Earliest', 'Latest', 'Size'], ...rows]),
        storage === null ? '' : `\n${storageTable(partitions, storage, configs, Date.now())}\n`,
        set.length === 0 ? 'All settings have their defaults.\n' : 'Settings:\n',
        ...set.map((one) => `  ${one.name} = ${one.isSensitive ? '(secret)' : (one.value ?? '')}\n`),
      ].join('')
    })
  })
}
