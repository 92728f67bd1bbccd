import {
  type DeadLetter,
  type Message,
  type OutgoingMessage,
  originalHeaders,
  readDeadLetter,
  type StreamBus,
} from '@streambus/client'
import { askingOptions, withCluster } from './client-session.ts'
import { CommandError, UsageError, warn } from './failure.ts'
import { counted, table } from './numbers.ts'
import { print } from './output.ts'
import { ReplayPlace, ReplayPlaces, replayGroup } from './replay-place.ts'
import { type GivenOptions, integer } from './settings.ts'

const defaultLimit = 10_000
const largestLimit = 1_000_000

/** What of one partition is to be replayed. */
interface PartitionPlan {
  readonly partition: number
  /** The topic each goes to, by its offset in the dead letter topic; in their order. */
  readonly targets: Map<number, string>
}

/** Which dead letters are to be replayed. */
interface Selection {
  /** These, by partition. */
  readonly wanted: ReadonlyMap<number, ReadonlySet<number>> | undefined
  /** What this group gave up. */
  readonly group: string | undefined
}

/** Where it is remembered what was replayed. */
interface ReplayMemory {
  /** A group. */
  readonly name: string
  readonly places: readonly ReplayPlace[]
}

interface Plan {
  readonly partitions: readonly PartitionPlan[]
  /** Dead letters that are still to be replayed after these. */
  readonly hasMore: boolean
  /** How many were replayed before. */
  readonly replayedBefore: number
}

export async function replayDeadLetters(topic: string, given: GivenOptions): Promise<void> {
  const option = (name: string) => given[name] as string | undefined
  const execute = given.execute === true
  if (execute && given.dryRun === true) throw new UsageError('--dry-run and --execute exclude each other.')
  const to = option('to')
  if (to === topic) throw new UsageError('--to must not be the dead letter topic itself.')
  const limitText = option('limit')
  const limit = limitText === undefined ? defaultLimit : integer(1, largestLimit).parse(limitText, '--limit')
  const chosen = ((given.offset as string[] | undefined) ?? []).map(placeIn)
  const group = option('group')
  if (group === '') throw new UsageError('--group must not be empty.')
  if (group !== undefined && chosen.length > 0) {
    throw new UsageError('--group and --offset exclude each other: an offset is of one group anyway.')
  }
  await withCluster(given, askingOptions, async (bus) => {
    const count = await bus.admin.partitionsOf(topic)
    const places = await ReplayPlaces.of(bus, topic, count)
    const wanted = chosen.length === 0 ? undefined : wantedOffsets(chosen, topic, places.all)
    const plan = await planOf(bus, topic, places, { wanted, group }, limit, to)
    const counts = new Map<string, number>()
    for (const { targets } of plan.partitions) {
      for (const target of targets.values()) counts.set(target, (counts.get(target) ?? 0) + 1)
    }
    // Asked for before anything is sent: a target that is gone must not be made anew by the first message.
    const targetPartitions = new Map<string, number>()
    for (const target of counts.keys()) targetPartitions.set(target, await bus.admin.partitionsOf(target))
    const memory = {
      name: replayGroup(topic, group),
      places: group === undefined ? places.all : await places.ofGroup(group),
    }
    if (execute) await replay(bus, topic, plan, memory, wanted !== undefined, targetPartitions, to)
    const targets = [...counts].map(([target, messages]) => ({ topic: target, messages }))
    const { hasMore, replayedBefore } = plan
    print(given, { topic, group: memory.name, executed: execute, targets, replayedBefore, hasMore }, () =>
      readable(topic, memory.name, targets, plan, execute),
    )
  })
}

function readable(
  topic: string,
  memoryName: string,
  targets: readonly { topic: string; messages: number }[],
  { hasMore, replayedBefore }: Plan,
  executed: boolean,
): string {
  const before =
    replayedBefore === 0
      ? ''
      : `${counted(replayedBefore, 'dead letter')} of '${topic}' had been replayed already, and ${replayedBefore === 1 ? 'is' : 'are'} left alone.\n`
  if (targets.length === 0) return `There is nothing to replay in '${topic}'.\n${before}`
  const sum = targets.reduce((total, { messages }) => total + messages, 0)
  return [
    table([['To', 'Messages'], ...targets.map(({ topic: target, messages }) => [target, messages] as const)]),
    before,
    hasMore ? 'There are more; replay again for those, or raise --limit.\n' : '',
    executed
      ? `Replayed ${counted(sum, 'dead letter')} of '${topic}'; group '${memoryName}' remembers that.\n`
      : 'Nothing was sent; --execute sends them.\n',
  ].join('')
}

/** Reads `17` or `2:17`. */
function placeIn(text: string): { partition: number | undefined; offset: number } {
  const match = /^(?:(\d{1,10}):)?(\d{1,15})$/.exec(text)
  if (match === null) throw new UsageError(`--offset must be an offset or partition:offset, not '${text}'.`)
  const [, partition, offset] = match
  return { partition: partition === undefined ? undefined : Number(partition), offset: Number(offset) }
}

/** The offsets that were chosen and not replayed yet, per partition. */
function wantedOffsets(
  chosen: readonly { partition: number | undefined; offset: number }[],
  topic: string,
  places: readonly ReplayPlace[],
): Map<number, Set<number>> {
  const wanted = new Map<number, Set<number>>()
  for (const { partition = places.length === 1 ? 0 : undefined, offset } of chosen) {
    if (partition === undefined) {
      throw new UsageError(`'${topic}' has ${places.length} partitions: write --offset partition:${offset}.`)
    }
    const place = places[partition]
    if (place === undefined) {
      throw new CommandError(`Topic '${topic}' has no partition ${partition}: it has ${places.length}.`)
    }
    if (place.has(offset)) {
      warn(`Offset ${offset} of ${topic}/${partition} had been replayed already, and is left alone.`)
      continue
    }
    wanted.set(partition, (wanted.get(partition) ?? new Set()).add(offset))
  }
  return wanted
}

/** @param which without either, all that were not replayed yet */
async function planOf(
  bus: StreamBus,
  topic: string,
  places: ReplayPlaces,
  { wanted, group }: Selection,
  limit: number,
  to: string | undefined,
): Promise<Plan> {
  const earliest = await bus.admin.listOffsets(
    places.all.map((_, partition) => ({ topic, partition, at: 'earliest' })),
  )
  const partitions: PartitionPlan[] = []
  let remaining = limit
  let hasMore = false
  let replayedBefore = 0
  for (const [partition, place] of places.all.entries()) {
    const first = earliest[partition]?.offset ?? 0
    if (group === undefined) replayedBefore += place.countFrom(first)
    const offsets = wanted?.get(partition)
    if (wanted !== undefined && offsets === undefined) continue
    const targets = new Map<number, string>()
    // Of a group, those that were replayed are among those that were not, and have to be read to be counted.
    const next = group === undefined ? place.next : first
    const from = Math.max(first, offsets === undefined ? next : Math.min(...offsets))
    const last = offsets === undefined ? Number.POSITIVE_INFINITY : Math.max(...offsets)
    for await (const message of bus.consumer(topic, { partitions: [partition], from, until: 'end' })) {
      if (message.offset > last) break
      if (offsets?.has(message.offset) === false) continue
      if (group === undefined ? place.has(message.offset) : readDeadLetter(message)?.group !== group) continue
      if (await places.has(message)) {
        replayedBefore++
        continue
      }
      if (remaining === 0) {
        hasMore = true
        break
      }
      remaining--
      targets.set(message.offset, to ?? originOf(message).topic)
    }
    const missing = [...(offsets ?? [])].find((offset) => !targets.has(offset))
    if (missing !== undefined && !hasMore) {
      throw new CommandError(`There is no message at offset ${missing} of ${topic}/${partition}.`)
    }
    partitions.push({ partition, targets })
  }
  return { partitions, hasMore, replayedBefore }
}

function originOf(message: Message): DeadLetter {
  const letter = readDeadLetter(message)
  if (letter !== undefined) return letter
  const { topic, partition, offset } = message
  throw new CommandError(
    `The message at offset ${offset} of ${topic}/${partition} does not say where it comes from; say where to with --to, or which with --offset.`,
  )
}

/** Sends batch by batch, and remembers each batch when it is acknowledged. */
async function replay(
  bus: StreamBus,
  topic: string,
  plan: Plan,
  memory: ReplayMemory,
  outOfTurn: boolean,
  targetPartitions: ReadonlyMap<string, number>,
  to: string | undefined,
): Promise<void> {
  if (outOfTurn) checkFits(topic, plan, memory)
  const producer = bus.producer()
  for (const { partition, targets } of plan.partitions) {
    const place = memory.places[partition] as ReplayPlace
    const [from] = targets.keys()
    if (from === undefined) continue
    const last = [...targets.keys()].at(-1) as number
    const consumer = bus.consumer(topic, { partitions: [partition], from, until: 'end' })
    for await (const { messages } of consumer.batches()) {
      const planned = messages.filter(({ offset }) => targets.has(offset))
      for (const target of new Set(planned.map(({ offset }) => targets.get(offset) as string))) {
        const count = to === undefined ? (targetPartitions.get(target) as number) : 0
        const going = planned.filter(({ offset }) => targets.get(offset) === target)
        await producer.sendBatch(
          target,
          going.map((message) => original(message, count)),
        )
      }
      for (const { offset } of planned) place.add(offset)
      const end = Math.min(messages.at(-1)!.offset, last) + 1
      if (!outOfTurn) place.advanceTo(end)
      if (planned.length > 0) {
        const { next: offset, metadata } = place
        await bus.admin.commitOffsets(memory.name, [{ topic, partition, offset, metadata }])
      }
      if (messages.at(-1)!.offset >= last) break
    }
  }
}

/** The message as it was, for the partition it comes from where the topic has that. */
function original(message: Message, partitionsOfOrigin: number): OutgoingMessage {
  const letter = readDeadLetter(message)
  const { key, value } = message
  return {
    key,
    value,
    headers: originalHeaders(message),
    ...(letter !== undefined && letter.timestamp >= 0 ? { timestamp: letter.timestamp } : {}),
    ...(letter !== undefined && letter.partition < partitionsOfOrigin ? { partition: letter.partition } : {}),
  }
}

function checkFits(topic: string, plan: Plan, { name, places }: ReplayMemory): void {
  for (const { partition, targets } of plan.partitions) {
    const { next, metadata } = places[partition] as ReplayPlace
    const after = new ReplayPlace(next, metadata)
    for (const offset of targets.keys()) after.add(offset)
    if (after.fits) continue
    throw new CommandError(
      `Group '${name}' cannot remember so many single offsets of ${topic}/${partition}; replay without --offset first.`,
    )
  }
}
