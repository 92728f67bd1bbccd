import { apiByKey } from '@streambus/protocol'
import { askingOptions, withCluster } from './client-session.ts'
import { describedLogDirs, maintenanceLines } from './maintenance-lines.ts'
import { counted, formatBytes, table } from './numbers.ts'
import type { GivenOptions } from './settings.ts'

export async function status(given: GivenOptions): Promise<void> {
  await withCluster(given, askingOptions, async (bus) => {
    const cluster = await bus.admin.describeCluster()
    const topics = await bus.admin.describeTopics(await bus.admin.listTopics())
    const logDirs = await describedLogDirs(bus)
    const summaries = topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.length,
      records: partitions.reduce((sum, { earliest, latest }) => sum + latest - earliest, 0),
      bytes: partitions.reduce((sum, { sizeBytes }) => sum + (sizeBytes ?? 0), 0),
    }))
    const sum = (field: 'partitions' | 'records' | 'bytes') =>
      summaries.reduce((all, one) => all + one[field], 0)
    const apis = [...cluster.apiVersions]
      .map(([key, { min, max }]) => ({ key, name: apiByKey(key)?.name ?? null, min, max }))
      .sort((a, b) => a.key - b.key)
    const known = apis.filter(({ name }) => name !== null)
    const totals = {
      topics: topics.length,
      partitions: sum('partitions'),
      records: sum('records'),
      bytes: sum('bytes'),
    }
    const { clusterId, controllerId, brokers } = cluster
    const maintenance = logDirs.flatMap(({ broker, path, maintenance: work }) =>
      work === null ? [] : [{ broker, path, ...work }],
    )
    if (given.json) {
      process.stdout.write(
        `${JSON.stringify({ clusterId, controllerId, brokers, ...totals, topicList: summaries, maintenance, apis }, null, 2)}\n`,
      )
      return
    }
    process.stdout.write(
      [
        `Cluster ${clusterId ?? 'without an id'}\n\n`,
        table([
          ['Broker', 'Address', 'Role'],
          ...brokers.map(({ id, host, port }) => [
            id,
            `${host}:${port}`,
            id === controllerId ? 'controller' : '',
          ]),
        ]),
        '\n',
        `${counted(totals.topics, 'topic')}, ${counted(totals.partitions, 'partition')}, `,
        `${counted(totals.records, 'record')}, ${formatBytes(totals.bytes)}\n`,
        summaries.length === 0
          ? ''
          : `\n${table([
              ['Topic', 'Partitions', 'Records', 'Size'],
              ...summaries.map(({ name, partitions, records, bytes }) => [
                name,
                partitions,
                records,
                formatBytes(bytes),
              ]),
            ])}`,
        ...maintenanceLines(logDirs),
        '\nRequests it answers, with versions:\n',
        ...wrapped([
          ...known.map(({ name, min, max }) => `${name} ${min}-${max}`),
          ...(known.length === apis.length ? [] : [`and ${apis.length - known.length} others`]),
        ]),
      ].join(''),
    )
  })
}

/** Items separated by commas, in indented lines of at most 100 characters. */
function wrapped(items: readonly string[]): string[] {
  const lines: string[] = []
  let line = ' '
  for (const item of items) {
    if (line.length + item.length + 2 > 100) {
      lines.push(`${line}\n`)
      line = ' '
    }
    line += ` ${item}${item === items.at(-1) ? '' : ','}`
  }
  return [...lines, `${line}\n`]
}
