import type { ConsumerOptions, Message, StartPosition, StreamBus } from '@streambus/client'
import { onInterrupt, withCluster } from './client-session.ts'
import { UsageError } from './failure.ts'
import { compileFormat, type Formatter, jsonFormat, readableFormat } from './message-format.ts'
import { whenReaderIsGone, write } from './output.ts'
import { type GivenOptions, integer, text } from './settings.ts'
import { parseTime } from './time.ts'

const largestCount = Number.MAX_SAFE_INTEGER
/** How far a crash can set a group back, at the price of a commit as often. */
const commitIntervalMs = 100

/** Turns messages into output, and resolves when that is printed. */
type Print = (messages: readonly Message[]) => Promise<void>

export async function consume(topic: string, given: GivenOptions): Promise<void> {
  const option = (name: string) => given[name] as string | undefined
  const partitions = option('partition')
    ?.split(',')
    .map((one) => integer(0, 2 ** 31 - 1).parse(one, '-p'))
  const count = option('count')
  const options: ConsumerOptions = {
    from: startPosition(option('offset') ?? 'beginning'),
    ...(partitions === undefined ? {} : { partitions }),
    ...(count === undefined ? {} : { limit: integer(1, largestCount).parse(count, '-n') }),
    ...(given.exit ? { until: 'end' } : {}),
    ...(given.uncommitted ? { isolation: 'read_uncommitted' } : {}),
  }
  const group = option('group')
  if (group !== undefined) text.parse(group, '--group')
  if (group !== undefined && partitions !== undefined) {
    throw new UsageError('-p and --group exclude each other: a group shares out the partitions itself.')
  }
  const format = option('format')
  if (format !== undefined && given.json) {
    throw new UsageError('-f and --json exclude each other: use one of them.')
  }
  const chosen = given.json ? jsonFormat : format === undefined ? undefined : compileFormat(format)
  await withCluster(given, {}, async (bus) => {
    await bus.checkAddresses()
    let formatter: Formatter | undefined = chosen
    const print: Print = async (messages) => {
      formatter ??= readableFormat((await bus.admin.partitionsOf(topic)) > 1 && partitions?.length !== 1)
      await write(formatter(messages))
    }
    const say = (what: string) => {
      if (!given.quiet) process.stderr.write(`${what}\n`)
    }
    if (group === undefined) await readPartitions(bus, topic, options, print, say)
    else await readAsMember(bus, topic, group, options, print, say)
  })
}

async function readPartitions(
  bus: StreamBus,
  topic: string,
  options: ConsumerOptions,
  print: Print,
  say: (what: string) => void,
): Promise<void> {
  const consumer = bus.consumer(topic, options)
  const stopListening = onInterrupt(() => void consumer.close())
  say(`Consuming from topic '${topic}'`)
  for await (const { messages } of consumer.batches()) await print(messages)
  stopListening()
}

async function readAsMember(
  bus: StreamBus,
  topic: string,
  group: string,
  options: ConsumerOptions,
  print: Print,
  say: (what: string) => void,
): Promise<void> {
  let stopped = false
  let printing = false
  let readerGone = false
  const { partitions: _, ...shared } = options
  const consumer = bus.consumer(topic, {
    ...shared,
    group,
    autoCommitIntervalMs: commitIntervalMs,
    onAssigned: (assigned) => say(`Assigned partitions: ${numbers(assigned) || 'none'}`),
    onRevoked: (revoked, lost) => {
      if (lost) say(`Lost partitions: ${numbers(revoked)}`)
    },
  })
  const stop = () => {
    stopped = true
    // What is being printed counts once it is: then the loop ends by itself. A failure to close reaches the loop.
    if (!printing) consumer.close().catch(() => {})
  }
  const stopListening = onInterrupt(stop)
  whenReaderIsGone(() => {
    readerGone = true
    stop()
  })
  say(`Consuming from topic '${topic}' in group '${group}'`)
  try {
    for await (const { messages } of consumer.batches()) {
      printing = true
      await print(messages)
      printing = false
      if (!stopped) continue
      await consumer.commit()
      break
    }
  } catch (error) {
    if (!readerGone) throw error
  }
  await consumer.close()
  stopListening()
}

/** Partition numbers of the one topic, in order: `0, 1, 2`. */
function numbers(partitions: readonly { partition: number }[]): string {
  return partitions
    .map(({ partition }) => partition)
    .sort((a, b) => a - b)
    .join(', ')
}

/** Reads `-o`: beginning, end, an offset, -N, @ISO time or @milliseconds. */
export function startPosition(position: string): StartPosition {
  if (position === 'beginning' || position === 'earliest') return 'earliest'
  if (position === 'end' || position === 'latest') return 'latest'
  if (/^-?\d+$/.test(position) && Number.isSafeInteger(Number(position))) {
    // Minus zero messages before the end is the end.
    return position.startsWith('-') && Number(position) === 0 ? 'latest' : Number(position)
  }
  if (position.startsWith('@')) {
    const time = parseTime(position.slice(1))
    if (time !== undefined) return time
    throw new UsageError(
      `'${position.slice(1)}' is not a time; write @2026-11-23T10:00:00Z or @ and milliseconds since 1970.`,
    )
  }
  throw new UsageError(`-o must be beginning, end, an offset, -N or @time, not '${position}'.`)
}
