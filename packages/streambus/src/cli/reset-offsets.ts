import { isStreamBusError, type StreamBus, type TopicPartition } from '@streambus/client'
import { askingOptions, withCluster } from './client-session.ts'
import { CommandError, UsageError, warn } from './failure.ts'
import { counted, table } from './numbers.ts'
import { print } from './output.ts'
import { type GivenOptions, integer } from './settings.ts'
import { parseTime } from './time.ts'

type Target =
  | { readonly to: 'earliest' | 'latest' }
  | { readonly to: 'offset'; readonly offset: number }
  | { readonly to: 'shift'; readonly by: number }
  | { readonly to: 'time'; readonly timestampMs: number }

/** A topic and, where not all of its partitions are meant, which. */
interface TopicChoice {
  readonly topic: string
  readonly partitions: readonly number[] | undefined
}

interface Change extends TopicPartition {
  /** Null where the group has committed nothing. */
  readonly from: number | null
  readonly to: number
}

const anyOffset = integer(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)

export async function resetOffsets(group: string, given: GivenOptions): Promise<void> {
  const target = targetOf(given)
  const choices = topicChoices((given.topic as string[] | undefined) ?? [])
  if (choices.length > 0 === (given.allTopics === true)) {
    throw new UsageError('Say which offsets: --topic (once or more), or --all-topics.')
  }
  const execute = given.execute === true
  if (execute && given.dryRun === true) throw new UsageError('--dry-run and --execute exclude each other.')
  await withCluster(given, askingOptions, async (bus) => {
    const members = (await bus.admin.describeGroups([group]))[0]?.members ?? []
    if (execute && members.length > 0) throw stillRunning(group, members)
    const changes = await changesOf(bus, group, choices, target)
    if (execute) {
      try {
        await bus.admin.commitOffsets(
          group,
          changes.map(({ topic, partition, to }) => ({ topic, partition, offset: to })),
        )
      } catch (error) {
        if (!isStreamBusError(error) || error.code !== 'GROUP_NOT_EMPTY') throw error
        throw stillRunning(group, (await bus.admin.describeGroups([group]))[0]?.members ?? [])
      }
    }
    print(given, { group, executed: execute, partitions: changes }, () =>
      [
        table([
          ['Topic', 'Partition', 'From', 'To'],
          ...changes.map(({ topic, partition, from, to }) => [topic, partition, from ?? '-', to]),
        ]),
        execute
          ? `Reset ${counted(changes.length, 'offset')} of group '${group}'.\n`
          : 'Nothing was changed; --execute makes the change.\n',
      ].join(''),
    )
    if (!execute && members.length > 0) {
      warn(
        `Group '${group}' has ${counted(members.length, 'running member')}: --execute will not work while they run.`,
      )
    }
  })
}

function stillRunning(group: string, members: readonly { clientId: string; host: string }[]): CommandError {
  const some = members.slice(0, 3).map(({ clientId, host }) => `${clientId} on ${host}`)
  if (members.length > some.length) some.push(`${members.length - some.length} more`)
  const who = some.length === 0 ? '' : ` (${some.join(', ')})`
  return new CommandError(
    `Group '${group}' has running members${who}, which would go on and overwrite the change: stop them, wait until \`streambus group describe ${group}\` shows none, and try again.`,
  )
}

async function changesOf(
  bus: StreamBus,
  group: string,
  choices: readonly TopicChoice[],
  target: Target,
): Promise<Change[]> {
  const committed = await bus.admin.fetchOffsets(group)
  const partitions = choices.length === 0 ? committed : await partitionsOf(bus, choices)
  if (partitions.length === 0) {
    throw new CommandError(`Group '${group}' has no committed offsets; name the topics with --topic.`)
  }
  const from = new Map(committed.map((one) => [`${one.topic}/${one.partition}`, one.offset]))
  const ask = (at: 'earliest' | 'latest' | { timestampMs: number }) =>
    bus.admin.listOffsets(partitions.map(({ topic, partition }) => ({ topic, partition, at })))
  const [earliest, latest, ofTime] = await Promise.all([
    ask('earliest'),
    ask('latest'),
    target.to === 'time' ? ask({ timestampMs: target.timestampMs }) : [],
  ])
  const changes = partitions.map(({ topic, partition }, index): Change => {
    const current = from.get(`${topic}/${partition}`) ?? null
    const first = earliest[index]!.offset ?? 0
    const end = latest[index]!.offset ?? 0
    const to = soughtOffset(target, { current, first, end, ofTime: ofTime[index]?.offset ?? null })
    if (to === undefined) {
      throw new CommandError(
        `Group '${group}' has no committed offset of ${topic}/${partition} that could be shifted; use --to-earliest, --to-latest, --to-offset or --to-datetime.`,
      )
    }
    const held = Math.min(Math.max(to, first), end)
    if (held !== to) {
      warn(`The log of ${topic}/${partition} holds offsets ${first} to ${end}, not ${to}; taking ${held}.`)
    }
    return { topic, partition, from: current, to: held }
  })
  return changes.sort((a, b) =>
    a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1,
  )
}

/** Undefined where there is nothing to shift. It may lie outside of the log. */
function soughtOffset(
  target: Target,
  known: { current: number | null; first: number; end: number; ofTime: number | null },
): number | undefined {
  switch (target.to) {
    case 'earliest':
      return known.first
    case 'latest':
      return known.end
    case 'offset':
      return target.offset
    case 'time':
      return known.ofTime ?? known.end
    case 'shift':
      return known.current === null ? undefined : known.current + target.by
  }
}

async function partitionsOf(bus: StreamBus, choices: readonly TopicChoice[]): Promise<TopicPartition[]> {
  const chosen = new Map<string, TopicPartition>()
  for (const { topic, partitions } of choices) {
    const count = await bus.admin.partitionsOf(topic)
    for (const partition of partitions ?? Array.from({ length: count }, (_, index) => index)) {
      chosen.set(`${topic}/${partition}`, { topic, partition })
    }
  }
  return [...chosen.values()]
}

function targetOf(given: GivenOptions): Target {
  const option = (name: string) => given[name] as string | undefined
  const targets: Target[] = []
  if (given.toEarliest) targets.push({ to: 'earliest' })
  if (given.toLatest) targets.push({ to: 'latest' })
  const offset = option('toOffset')
  if (offset !== undefined) {
    targets.push({ to: 'offset', offset: integer(0, Number.MAX_SAFE_INTEGER).parse(offset, '--to-offset') })
  }
  const shift = option('shiftBy')
  if (shift !== undefined) targets.push({ to: 'shift', by: anyOffset.parse(shift, '--shift-by') })
  const time = option('toDatetime')
  if (time !== undefined) {
    const date = parseTime(time)
    if (date === undefined) {
      throw new UsageError(`--to-datetime must be a time such as 2026-11-23T10:00:00Z, not '${time}'.`)
    }
    targets.push({ to: 'time', timestampMs: date.getTime() })
  }
  const [target] = targets
  if (target === undefined || targets.length > 1) {
    throw new UsageError(
      'Say where to, once: --to-earliest, --to-latest, --to-offset, --to-datetime or --shift-by.',
    )
  }
  return target
}

/** Reads `topic` or `topic:0,2`. A topic name never holds a colon. */
function topicChoices(texts: readonly string[]): TopicChoice[] {
  return texts.map((text) => {
    const [topic = '', numbers, ...more] = text.split(':')
    if (topic === '' || more.length > 0)
      throw new UsageError(`--topic must be topic or topic:0,2, not '${text}'.`)
    const partitions = numbers
      ?.split(',')
      .map((one) => integer(0, 2 ** 31 - 1).parse(one, `--topic ${topic}:`))
    return { topic, partitions }
  })
}
