import { StorageError } from '@streambus/storage'
import { expect, test } from 'vitest'
import type { CoordinatorRecord } from '../../coordinator/coordinator-log.ts'
import type { ConsumerGroupState } from './consumer-group-state.ts'
import type { Heartbeat } from './heartbeats.ts'
import { GroupFixture } from './testing/group-fixture.ts'
import { SimulatedMember } from './testing/simulated-member.ts'

/** Random schedules of one group and its clients. A seed replays its schedule exactly. */
const SEEDS = 60
const STEPS = 120

/** Numbers from 0 to 1 that follow from a seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

class Schedule {
  readonly fixture: GroupFixture
  readonly random: () => number
  readonly members: SimulatedMember[] = []
  #ids = 0
  #groupEpoch = 0
  #assignmentEpoch = 0
  #memberEpochs = new Map<string, number>()

  constructor(seed: number) {
    this.random = randomFrom(seed)
    this.fixture = new GroupFixture({ consumerAssignors: this.chance(0.5) ? ['uniform'] : ['range'] })
    for (const name of ['a', 'b', 'c']) this.fixture.topics.set(name, this.below(5) + 1)
  }

  chance(probability: number): boolean {
    return this.random() < probability
  }

  below(bound: number): number {
    return Math.floor(this.random() * bound)
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!
  }

  async step(): Promise<void> {
    const roll = this.random()
    if (roll < 0.6) await this.heartbeats()
    else if (roll < 0.68) this.join()
    else if (roll < 0.73) await this.leave()
    else if (roll < 0.77) this.vanish()
    else if (roll < 0.83) await this.fixture.time.pass(this.below(20_000))
    else if (roll < 0.87) this.changeTopics()
    else if (roll < 0.91) this.resubscribe()
    else if (roll < 0.95) this.failNextAppend()
    else this.restart()
    this.check()
  }

  /** Some members send a heartbeat at once; some requests and some answers get lost. */
  async heartbeats(): Promise<void> {
    const senders = this.members.filter(() => this.chance(0.5))
    const sent: [SimulatedMember, Heartbeat][] = []
    for (const member of senders) {
      const request = member.nextHeartbeat()
      if (this.chance(0.1)) member.missAnswer()
      else sent.push([member, request])
    }
    await this.deliver(sent, 0.15)
  }

  async deliver(sent: readonly [SimulatedMember, Heartbeat][], lossRate: number): Promise<void> {
    if (sent.length === 0) return
    const { group } = this.fixture
    try {
      const answers = await group.heartbeat(sent.map(([, request]) => request))
      for (const [index, [member]] of sent.entries()) {
        if (this.chance(lossRate)) member.missAnswer()
        else member.take(answers[index]!)
      }
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      for (const [member] of sent) member.missAnswer()
    }
  }

  join(): void {
    if (this.members.length >= 6) return
    const free = ['i1', 'i2'].filter((id) => !this.members.some(({ instanceId }) => instanceId === id))
    const instanceId = this.chance(0.4) ? (free[0] ?? null) : null
    this.members.push(new SimulatedMember(`m${++this.#ids}`, instanceId, this.subscription()))
  }

  async leave(): Promise<void> {
    const member = this.pick(this.members)
    if (member === undefined || member.epoch === 0) return
    this.remove(member)
    // It stopped processing before it says so. The message may get lost.
    if (this.chance(0.1)) return
    const request = member.leaving(member.instanceId !== null && this.chance(0.7) ? -2 : -1)
    await this.deliver([[member, request]], 1)
  }

  /** Killed: it stops processing and says nothing. */
  vanish(): void {
    const member = this.pick(this.members)
    if (member !== undefined) this.remove(member)
  }

  remove(member: SimulatedMember): void {
    this.members.splice(this.members.indexOf(member), 1)
  }

  subscription(): SimulatedMember['subscription'] {
    const subscribedTopicNames = ['a', 'b', 'c', 'later'].filter(() => this.chance(0.6))
    return {
      subscribedTopicNames,
      subscribedTopicRegex: this.chance(0.3) ? this.pick(['a|l.*', '[b-c]', '']) : null,
    }
  }

  resubscribe(): void {
    this.pick(this.members)?.subscribe(this.subscription())
  }

  changeTopics(): void {
    const { topics } = this.fixture
    const name = this.pick(['a', 'b', 'later'])
    const topic = topics.byName(name)
    if (topic !== undefined && this.chance(0.3)) topics.delete(name)
    else topics.set(name, (topic?.logs.length ?? 0) + 1)
  }

  failNextAppend(): void {
    this.fixture.appendError = new StorageError('DISK_FULL', 'simulated')
  }

  restart(): void {
    this.fixture.appendError = undefined
    if (this.chance(0.5)) this.compact()
    const before = this.fixture.group.durable
    this.fixture.restart()
    expect(contents(this.fixture.group.durable)).toEqual(contents(before))
  }

  /** Only the newest record of each key stays, up to some point. */
  compact(): void {
    const { records } = this.fixture
    const cleanedTo = this.below(records.length + 1)
    const newest = new Map<string, CoordinatorRecord>()
    const keyOf = (record: CoordinatorRecord) => Buffer.from(record.key).toString('latin1')
    for (const record of records.slice(0, cleanedTo)) newest.set(keyOf(record), record)
    const kept = records
      .slice(0, cleanedTo)
      .filter((record) => newest.get(keyOf(record)) === record && (record.value !== null || this.chance(0.5)))
    records.splice(0, cleanedTo, ...kept)
  }

  check(): void {
    const state = this.fixture.group.durable
    // What members may be processing, as the coordinator sees it, has one owner.
    const owners = new Map<string, string>()
    for (const member of state.members.values()) {
      for (const partitions of [member.assigned, member.pendingRevocation]) {
        for (const [topicId, epochs] of partitions) {
          for (const partition of epochs.keys()) {
            const key = `${topicId}-${partition}`
            check(!owners.has(key), `${key} has two owners`)
            owners.set(key, member.memberId)
            check(state.owner(topicId, partition) === member.memberId, `the owner of ${key} is not known`)
          }
        }
      }
    }
    // What members are processing is within that, as long as they are in the group.
    for (const { memberId, epoch, owned } of this.members) {
      const known = state.members.get(memberId)
      if (epoch === 0 || known === undefined || known.memberEpoch < 0) continue
      for (const key of owned) check(owners.get(key) === memberId, `${memberId} processes ${key}`)
      check(epoch <= known.memberEpoch, `${memberId} is ahead of the coordinator`)
    }
    this.checkEpochs(state)
  }

  checkEpochs({ groupEpoch, assignmentEpoch, members }: ConsumerGroupState): void {
    check(groupEpoch >= this.#groupEpoch, 'the group epoch goes back')
    check(assignmentEpoch >= this.#assignmentEpoch, 'the assignment epoch goes back')
    check(assignmentEpoch <= groupEpoch, 'the assignment is for an epoch that never was')
    this.#groupEpoch = groupEpoch
    this.#assignmentEpoch = assignmentEpoch
    const epochs = new Map<string, number>()
    for (const { memberId, memberEpoch } of members.values()) {
      if (memberEpoch < 0) continue
      check(memberEpoch >= (this.#memberEpochs.get(memberId) ?? 0), `the epoch of ${memberId} goes back`)
      check(memberEpoch <= assignmentEpoch, `${memberId} is ahead of its target`)
      epochs.set(memberId, memberEpoch)
    }
    this.#memberEpochs = epochs
  }

  /** Nothing gets lost any more: everything that is subscribed to is processed, by one member each. */
  async comeToRest(): Promise<void> {
    this.fixture.appendError = undefined
    for (let round = 0; round < 20; round++) {
      for (const member of this.members) await this.deliver([[member, member.nextHeartbeat()]], 0)
      await this.fixture.time.pass(5000)
      this.check()
    }
    const { group, topics } = this.fixture
    expect(group.state).toBe(this.members.length === 0 ? 'Empty' : 'Stable')
    const subscribed = [...topics.all()].filter(({ name }) => group.isSubscribedTo(name))
    const processed = this.members.flatMap(({ owned }) => [...owned])
    expect(processed.sort()).toEqual(
      subscribed
        .flatMap(({ id, logs }) => Array.from(logs.keys(), (partition) => `${id}-${partition}`))
        .sort(),
    )
  }
}

function check(condition: boolean, violation: string): void {
  if (!condition) throw new Error(violation)
}

/** What a state says, whatever the order in which it came to say it. */
function contents(state: ConsumerGroupState) {
  const { groupEpoch, assignmentEpoch, metadataHash, members, regexes, byteLength } = state
  return {
    groupEpoch,
    assignmentEpoch,
    metadataHash,
    byteLength,
    members: new Map([...members].sort()),
    regexes: new Map([...regexes].sort()),
    targets: new Map([...members.keys()].sort().map((memberId) => [memberId, state.target(memberId)])),
  }
}

test(`${SEEDS} random schedules: one owner per partition, epochs never go back, and the group comes to rest`, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const schedule = new Schedule(seed)
    try {
      for (let step = 0; step < STEPS; step++) await schedule.step()
      await schedule.comeToRest()
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error })
    }
  }
})
