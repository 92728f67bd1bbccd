import { once } from 'node:events'
import type { ConsumerOptions, StartPosition } from '@streambus/client'
import { onInterrupt, withCluster } from './client-session.ts'
import { UsageError } from './failure.ts'
import { compileFormat, type Formatter, jsonFormat, readableFormat } from './message-format.ts'
import { type GivenOptions, integer } from './settings.ts'

const largestCount = Number.MAX_SAFE_INTEGER

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
  }
  const format = option('format')
  if (format !== undefined && given.json) {
    throw new UsageError('-f and --json exclude each other: use one of them.')
  }
  const chosen = given.json ? jsonFormat : format === undefined ? undefined : compileFormat(format)
  await withCluster(given, {}, async (bus) => {
    await bus.checkAddresses()
    const consumer = bus.consumer(topic, options)
    const stopListening = onInterrupt(() => void consumer.close())
    const batches = consumer.batches()
    if (!given.quiet) process.stderr.write(`Consuming from topic '${topic}'\n`)
    let formatter: Formatter | undefined = chosen
    for await (const { messages } of batches) {
      formatter ??= readableFormat((await bus.admin.partitionsOf(topic)) > 1 && partitions?.length !== 1)
      const output = formatter(messages)
      if (!process.stdout.write(output)) await once(process.stdout, 'drain')
    }
    stopListening()
  })
}

/** Reads `-o`: beginning, end, an offset, -N, @ISO time or @milliseconds. */
export function startPosition(text: string): StartPosition {
  if (text === 'beginning' || text === 'earliest') return 'earliest'
  if (text === 'end' || text === 'latest') return 'latest'
  if (/^-?\d+$/.test(text) && Number.isSafeInteger(Number(text))) {
    // Minus zero messages before the end is the end.
    return text.startsWith('-') && Number(text) === 0 ? 'latest' : Number(text)
  }
  if (text.startsWith('@')) {
    const time = text.slice(1)
    const date = new Date(/^\d+$/.test(time) ? Number(time) : time)
    if (time !== '' && !Number.isNaN(date.getTime())) return date
    throw new UsageError(
      `'${time}' is not a time; write @2026-11-23T10:00:00Z or @ and milliseconds since 1970.`,
    )
  }
  throw new UsageError(`-o must be beginning, end, an offset, -N or @time, not '${text}'.`)
}
