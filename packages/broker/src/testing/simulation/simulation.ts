import { TopicRegexes } from '../../groups/consumer/topic-regexes.ts'
import { ClassicMember, topicAndPartition } from './classic-member.ts'
import { runCommittedReader } from './committed-reader.ts'
import { ConsumerMember } from './consumer-member.ts'
import { Judge } from './judge.ts'
import { runAdministrator, runOffsetReader, runSimpleCommitter } from './offset-users.ts'
import type { Sabotage } from './sabotage.ts'
import type { SeededRandom } from './seeded-random.ts'
import { check } from './simulation-failure.ts'
import { runTransactionalApplication } from './transactional-producer.ts'
import { runTrouble } from './trouble.ts'
import { PASSING_TOPIC, World } from './world.ts'

/**
 * Drives the broker's coordinators, behind its real handlers, through a random schedule on a virtual clock:
 * members of all kinds of groups, committers, administrators and transactional producers, on a network that
 * loses, delays and repeats, over a disk that stalls, fills up and fails, with a broker that dies at any append.
 *
 * Everything the broker writes is read again by rules of the simulation's own (`GroupReplica`,
 * `TransactionReplica`, `DataLogs`), checked when it becomes durable, and held against every answer. At the end
 * nothing goes wrong any more, and then all that was begun must come to an end.
 *
 * The seed decides everything, so that a failure can be run again.
 */
export interface SimulationOptions {
  /** Events kept in words. Default 0. */
  readonly traceLines?: number
  /** The broker dies at these appends, besides what the seed wants. */
  readonly crashAt?: ReadonlySet<number>
  /** What the disk gets wrong on purpose, to see that it is noticed. */
  readonly sabotage?: Sabotage
}

export interface SimulationOutcome {
  readonly seed: number
  /** Equal for two runs of one seed. */
  readonly traceHash: string
  readonly steps: number
  readonly virtualMs: number
  readonly appends: number
  readonly brokerStarts: number
  readonly transactions: number
  /** How often what happened that it is there for, and each API was answered how ('JoinGroup 27'). */
  readonly counts: ReadonlyMap<string, number>
  /** The last events, where they were asked for. */
  readonly lines: readonly string[]
  /** What was violated; undefined when nothing was. */
  readonly failure: Error | undefined
}

type GroupKind = 'eager' | 'cooperative' | 'consumer' | 'mixed' | 'simple'

interface GroupPlan {
  readonly id: string
  readonly kind: GroupKind
  readonly topics: readonly string[]
}

/** More than any run needs: beyond it something goes round and round. */
const MAX_STEPS = 300_000
/** Longer than every timeout of members and transactions, some of them after each other. */
const MAX_CALM_MS = 300_000
const CALM_CHECK_MS = 5000
/** How often a run is compared with a replay of its log before its end. */
const REPLAYS = 8

class Simulation {
  readonly #world: World
  readonly #random: SeededRandom
  readonly #members: (ClassicMember | ConsumerMember)[] = []
  readonly #groups: GroupPlan[] = []
  readonly #dataTopics: string[] = []
  #groupIds: readonly string[] = []

  constructor(world: World) {
    this.#world = world
    this.#random = world.random.fork()
  }

  async run(): Promise<void> {
    const world = this.#world
    await this.#plan()
    const durationMs = this.#random.pick([20_000, 60_000, 120_000])
    const judge = new Judge(world, this.#dataTopics)
    for (let left = REPLAYS; left > 0; left--) {
      await world.time.pass(durationMs / REPLAYS, MAX_STEPS)
      await judge.checkReplay(this.#groupIds)
    }
    world.calmDown()
    await this.#comeToAnEnd(judge)
  }

  async #plan(): Promise<void> {
    const world = this.#world
    const random = this.#random
    const create = async (name: string, partitions: number) => {
      await world.durable.createTopic({ name, partitions })
      return name
    }
    const groupTopics: string[] = []
    for (let left = random.between(1, 3); left > 0; left--) {
      groupTopics.push(await create(world.newName('topic-'), random.between(1, 4)))
    }
    const passing = await create(`${PASSING_TOPIC}-0`, 2)
    for (let left = random.between(1, 2); left > 0; left--) {
      this.#dataTopics.push(await create(world.newName('data-'), random.between(1, 3)))
    }
    const kinds: GroupKind[] = ['eager', 'cooperative', 'consumer', 'mixed', 'simple']
    for (let left = random.between(1, 3); left > 0; left--) {
      const kind = random.pick(kinds)
      const topics = random.some(groupTopics)
      this.#groups.push({
        id: world.newName(`${kind}-`),
        kind,
        // Partitions are compared by name in these, so that topics must not come and go.
        topics: kind === 'mixed' || random.chance(0.5) ? topics : [...topics, passing],
      })
    }
    for (const group of this.#groups) this.#populate(group)
    const groupIds = this.#groups.map(({ id }) => id)
    const offsetGroup = random.chance(0.5) ? world.newName('transactional-') : random.pick(groupIds)
    const producers = random.between(0, 3)
    for (let index = 0; index < producers; index++) {
      const application = {
        transactionalId: world.newName('application-'),
        topics: this.#dataTopics,
        groupId: offsetGroup,
        groupTopics,
        members: this.#members.filter(({ options }) => options.groupId === offsetGroup),
        version: random.pick([1, 2] as const),
      }
      if (random.chance(0.2))
        await world.giveEpoch(application.transactionalId, random.between(32_750, 32_766))
      world.time.background(runTransactionalApplication(world, application))
    }
    if (producers > 0) world.time.background(runCommittedReader(world, this.#dataTopics))
    const everyGroup = [...new Set([...groupIds, offsetGroup])]
    this.#groupIds = everyGroup
    world.time.background(runOffsetReader(world, everyGroup, [...groupTopics, passing]))
    if (random.chance(0.5)) {
      world.time.background(runAdministrator(world, everyGroup, [...groupTopics, passing]))
    }
    world.time.background(runTrouble(world, { passing, enlarged: groupTopics }))
  }

  #populate(group: GroupPlan): void {
    const world = this.#world
    const random = this.#random
    const { id: groupId, kind, topics } = group
    if (kind === 'simple' || random.chance(0.2)) {
      world.time.background(runSimpleCommitter(world, groupId, topics))
      if (kind === 'simple') return
    }
    const isCooperative = kind === 'cooperative' || (kind === 'mixed' && random.chance(0.5))
    const members = random.between(1, 5)
    for (let index = 0; index < members; index++) {
      // Two members with one name fence each other.
      const instanceId = random.chance(0.3) ? `${groupId}-instance-${random.between(0, members)}` : null
      const ending = random.pick(['stays', 'stays', 'leaves', 'dies'] as const)
      const isConsumer = kind === 'consumer' || (kind === 'mixed' && random.chance(0.5))
      const member = isConsumer
        ? new ConsumerMember(world, {
            groupId,
            topics,
            regex: random.chance(0.2) ? (kind === 'mixed' ? 'topic-.*' : '(topic|passing)-.*') : null,
            instanceId,
            ending,
          })
        : new ClassicMember(world, {
            groupId,
            topics,
            cooperative: isCooperative,
            instanceId,
            inMixedGroup: kind === 'mixed',
            ending,
          })
      this.#members.push(member)
      world.time.background(member.run())
    }
  }

  /** With nothing going wrong any more, everything that was begun must end. */
  async #comeToAnEnd(judge: Judge): Promise<void> {
    const world = this.#world
    const endMs = world.time.elapsedMs + MAX_CALM_MS
    let unrest: string | undefined
    do {
      await world.time.pass(CALM_CHECK_MS, MAX_STEPS)
      unrest = (await judge.unrest(this.#members)) ?? this.#uncovered()
    } while (unrest !== undefined && world.time.elapsedMs < endMs)
    check(unrest === undefined, () => `after ${MAX_CALM_MS / 1000} s without trouble: ${unrest}`)
    world.data.checkAllDecided()
    while (!(await judge.checkReplay(this.#groupIds))) await world.time.pass(10, MAX_STEPS)
  }

  /** Which partition of what the members of a group want has no owner, or two; undefined when none. */
  #uncovered(): string | undefined {
    const world = this.#world
    for (const { id, kind } of this.#groups) {
      const living = this.#members.filter(({ options, hasEnded }) => options.groupId === id && !hasEnded)
      if (living.length === 0 || kind === 'simple') continue
      const owners = new Map<string, string>()
      for (const { owned, client } of living) {
        for (const partition of owned) {
          const other = owners.get(partition)
          if (other !== undefined) return `${other} and ${client.id} own ${partition} of ${id}`
          owners.set(partition, client.id)
          const { topic, partition: index } = topicAndPartition(partition)
          const found = world.topic(topic) ?? world.durable.topics.byId(topic)
          if (found === undefined || index >= found.logs.length) return `${partition} of ${id} does not exist`
        }
      }
      for (const { options } of living) {
        // What a regular expression matches is not spelled out here.
        if ('regex' in options && options.regex !== null) continue
        for (const name of options.topics) {
          const topic = world.topic(name)
          if (topic === undefined) continue
          for (let partition = 0; partition < topic.logs.length; partition++) {
            if (owners.has(`${world.topicName(topic.id)}-${partition}`)) continue
            if (owners.has(`${name}-${partition}`)) continue
            return `nobody owns ${name}-${partition} of ${id}: ${JSON.stringify([...owners])}`
          }
        }
      }
    }
    return undefined
  }
}

export async function simulate(seed: number, options: SimulationOptions = {}): Promise<SimulationOutcome> {
  // Loading a module is not of the simulated world, and takes a time of its own.
  await new TopicRegexes().load()
  const world = await World.make({
    seed,
    traceLines: options.traceLines ?? 0,
    ...(options.crashAt === undefined ? {} : { crashAt: options.crashAt }),
    ...(options.sabotage === undefined ? {} : { sabotage: options.sabotage }),
  })
  let failure: Error | undefined
  try {
    await new Simulation(world).run()
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error))
  }
  return {
    seed,
    traceHash: world.trace.hash,
    steps: world.time.steps,
    virtualMs: world.time.elapsedMs,
    appends: world.appends,
    brokerStarts: world.brokerStarts,
    transactions: world.data.transactions.size,
    counts: new Map([...world.counts, ...world.network.answers]),
    lines: world.trace.lines,
    failure,
  }
}
