import { type Message, readDeadLetter } from '@streambus/client'
import { askingOptions, withCluster } from './client-session.ts'
import { counted, table } from './numbers.ts'
import { print } from './output.ts'
import { ReplayPlaces } from './replay-place.ts'
import { type GivenOptions, integer } from './settings.ts'

const defaultLimit = 1_000
const largestLimit = 1_000_000
/** As much of a reason as a line of the table shows. */
const shownReason = 80

export async function listDeadLetters(topic: string, given: GivenOptions): Promise<void> {
  const option = given.limit as string | undefined
  const limit = option === undefined ? defaultLimit : integer(1, largestLimit).parse(option, '--limit')
  await withCluster(given, askingOptions, async (bus) => {
    const partitions = await bus.admin.partitionsOf(topic)
    const places = await ReplayPlaces.of(bus, topic, partitions)
    const letters: ListedLetter[] = []
    // One more than is shown tells whether that is all.
    for await (const message of bus.consumer(topic, { until: 'end', limit: limit + 1 })) {
      letters.push(listed(message, await places.has(message)))
    }
    const hasMore = letters.length > limit
    if (hasMore) letters.pop()
    letters.sort((a, b) => a.partition - b.partition || a.offset - b.offset)
    print(given, letters, () =>
      letters.length === 0
        ? `There are no dead letters in '${topic}'.\n`
        : [
            table([
              ['Partition', 'Offset', 'Origin', 'Group', 'Attempts', 'Time', 'Replayed', 'Reason'],
              ...letters.map((one) => [
                one.partition,
                one.offset,
                one.origin === null
                  ? '-'
                  : `${one.origin.topic}/${one.origin.partition}/${one.origin.offset}`,
                one.group ?? '-',
                one.attempts ?? '-',
                one.time ?? '-',
                one.replayed ? 'yes' : 'no',
                one.reason === null ? '-' : firstLine(one),
              ]),
            ]),
            hasMore ? `These are ${counted(limit, 'message')}; there are more (--limit).\n` : '',
          ].join(''),
    )
  })
}

interface ListedLetter {
  readonly partition: number
  readonly offset: number
  /** Null where the message is no dead letter; so are the others then. */
  readonly origin: { readonly topic: string; readonly partition: number; readonly offset: number } | null
  readonly group: string | null
  readonly attempts: number | null
  /** The class of the error, and what it says. */
  readonly error: string | null
  readonly reason: string | null
  /** ISO 8601: when it was given up. */
  readonly time: string | null
  readonly replayed: boolean
}

function listed(message: Message, replayed: boolean): ListedLetter {
  const letter = readDeadLetter(message)
  const time = new Date(letter?.time ?? Number.NaN)
  return {
    partition: message.partition,
    offset: message.offset,
    origin:
      letter === undefined
        ? null
        : { topic: letter.topic, partition: letter.partition, offset: letter.offset },
    group: letter?.group ?? null,
    attempts: letter?.attempts ?? null,
    error: letter?.error ?? null,
    reason: letter?.reason ?? null,
    time: Number.isNaN(time.getTime()) ? null : time.toISOString(),
    replayed,
  }
}

/** `TypeError: no such customer` */
function firstLine({ error, reason }: ListedLetter): string {
  const line = `${error}: ${(reason as string).split('\n')[0]}`
  return line.length > shownReason ? `${line.slice(0, shownReason - 1)}…` : line
}
