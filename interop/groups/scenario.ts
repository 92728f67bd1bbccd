/**
 * The life of one group: three members join while records flow, one is stopped politely, one is killed, one is
 * added, the broker is killed, all stop, and somebody comes back.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { InteropClient } from '../client.ts'
import type { GroupClient, Variant } from './clients.ts'
import { Flow } from './flow.ts'
import { GroupLog } from './group-log.ts'
import { Member } from './member.ts'

export interface ScenarioContext {
  readonly bootstrap: string
  /** A name that no other run uses. */
  readonly run: string
  /** Sends the records and creates the topics. */
  readonly sender: InteropClient
  readonly records: number
  /** Standard error of the members. */
  readonly logFile: string
}

const PARTITIONS = 6
const SESSION_TIMEOUT_MS = 8_000
/** Longer than a process takes to start again on a busy machine. */
const STATIC_SESSION_TIMEOUT_MS = 15_000
const STEP_TIMEOUT_MS = 60_000
const POLL_MS = 50
/** Sent once all members have stopped. */
const RECORDS_AFTER = 1_000
/** Part of the records that is kept back until the broker has been killed. */
const KEPT_FOR_KILL = 0.25
/** A group that must not rebalance is watched this long. */
const QUIET_MS = 2_000

export class GroupScenario {
  readonly client: GroupClient
  readonly variant: Variant
  readonly #context: ScenarioContext
  readonly #topic: string
  readonly #log: GroupLog
  readonly #members = new Map<string, Member>()
  readonly #ends: number[]
  #flow: Flow | undefined
  #changesAtKill = 0
  /** Members that were stopped or killed while records flowed. */
  #ended = 0

  constructor(client: GroupClient, variant: Variant, context: ScenarioContext) {
    this.client = client
    this.variant = variant
    this.#context = context
    this.#topic = `${context.run}-${client.name.replace(/[^a-zA-Z]+/g, '')}-${variant}`
    this.#ends = endOffsets(context.records)
    this.#log = new GroupLog(PARTITIONS, context.records)
  }

  /** Before anything else, for all groups: a broker may need a moment after it has said that a topic exists. */
  async createTopic(): Promise<void> {
    await this.#context.sender.createTopic(this.#topic, PARTITIONS)
  }

  async comeAndGo(): Promise<void> {
    const { sender, records } = this.#context
    const limit = Math.floor(records * (1 - KEPT_FOR_KILL))
    this.#flow = new Flow(sender, this.#topic, PARTITIONS, records - RECORDS_AFTER, limit)
    await Promise.all(['a', 'b', 'c'].map((name) => this.#start(name)))
    await this.#settled('three joined', ['a', 'b', 'c'])
    if (this.variant === 'static') await this.#restartStatic('b', ['a', 'b', 'c'])
    else {
      await this.#member('b').stop()
      this.#ended++
      await this.#settled('one was stopped', ['a', 'c'])
    }
    await this.#member('c').kill9()
    this.#ended++
    const survivors = this.variant === 'static' ? ['a', 'b'] : ['a']
    await this.#settled('one was killed', survivors)
    await this.#start('d')
    await this.#settled('one was added', [...survivors, 'd'])
    this.#checkOwners()
    this.#changesAtKill = this.#log.changes
  }

  /** After the broker came back. Returns what is worth telling. */
  async afterBrokerKill(): Promise<string> {
    const flow = this.#flow
    if (flow === undefined) throw new Error('no records were sent')
    flow.release()
    await flow.finished()
    const ends = endOffsets(this.#context.records - RECORDS_AFTER)
    await this.#until(
      'every record was processed',
      () => this.#missing(ends) === 0,
      () => {
        return `${this.#missing(ends)} of ${flow.sent} records were not processed`
      },
    )
    this.#checkOwners()
    const records = flow.sent.toLocaleString('en')
    const moves = this.#log.changes - this.#changesAtKill
    const rebalanced = moves === 0 ? 'no rebalance after the restart' : 'rebalanced after the restart'
    const lost = this.#log.missing(ends)
    const inHand =
      lost === 0
        ? ''
        : `; ${lost} committed and never printed by a member that ended (it commits before it prints)`
    return `${records} records, ${this.#log.repeated} of them twice; ${rebalanced}${inHand}`
  }

  /** Everybody leaves; whoever comes next starts where they ended. */
  async continueWhereStopped(): Promise<void> {
    const { sender, records } = this.#context
    const sent = records - RECORDS_AFTER
    const before = endOffsets(sent)
    if (this.#missing(before) > 0) throw new Error('not every record had been processed')
    await Promise.all([...this.#members.values()].map((member) => (member.running ? member.stop() : null)))
    if (this.client.tellsCommits) {
      before.forEach((end, partition) => {
        const committed = this.#log.lastCommitted(partition)
        if (committed !== end)
          throw new Error(`partition ${partition}: ${committed} was committed, not ${end}`)
      })
    }
    const set = { seed: this.#topic, shape: 'mixed', headers: 'none', partitions: PARTITIONS } as const
    await sender.produce({
      topic: this.#topic,
      set: { ...set, baseTimestampMs: Date.now() },
      from: sent,
      to: records,
      codec: 'none',
      idempotent: true,
    })
    await this.#start('e')
    await this.#until(
      'it took over',
      () => this.#missing(this.#ends) === 0,
      () => {
        return `${this.#missing(this.#ends)} of ${RECORDS_AFTER} records were not processed`
      },
    )
    before.forEach((end, partition) => {
      const first = this.#log.firstProcessed('e', partition)
      if (first !== end) throw new Error(`partition ${partition} was continued at ${first}, not at ${end}`)
    })
    await this.#member('e').stop()
    this.#checkOwners()
  }

  async end(): Promise<void> {
    this.#flow?.stop()
    await Promise.all([...this.#members.values()].map((member) => (member.running ? member.kill9() : null)))
  }

  /** A static member that comes back in time gets what it had, and nobody else notices. */
  async #restartStatic(name: string, members: readonly string[]): Promise<void> {
    const owned = JSON.stringify(this.#log.owned().get(name))
    await this.#member(name).kill9()
    this.#ended++
    const changes = this.#log.changes
    await this.#start(name)
    await this.#settled('a static member came back', members)
    await sleep(QUIET_MS)
    const regained = JSON.stringify(this.#log.owned().get(name))
    if (regained !== owned) throw new Error(`it had ${owned} and came back to ${regained}`)
    if (this.#log.changes !== changes + 1)
      throw new Error('the group rebalanced when a static member came back')
  }

  async #start(name: string): Promise<void> {
    const { bootstrap, logFile } = this.#context
    const membership = {
      bootstrap,
      topic: this.#topic,
      group: this.#topic,
      variant: this.variant,
      sessionTimeoutMs: this.variant === 'static' ? STATIC_SESSION_TIMEOUT_MS : SESSION_TIMEOUT_MS,
      instanceId: this.variant === 'static' ? `instance-${name}` : null,
    }
    const program = await this.client.program(membership, name)
    this.#members.set(name, new Member(name, program, this.#log, logFile))
  }

  #missing(ends: readonly number[]): number {
    const inHand = this.client.commitsBeforeProcessing === true ? this.#ended : 0
    return Math.max(0, this.#log.missing(ends) - inHand)
  }

  #member(name: string): Member {
    const member = this.#members.get(name)
    if (member === undefined) throw new Error(`member ${name} was not started`)
    return member
  }

  #settled(what: string, members: readonly string[]): Promise<void> {
    return this.#until(
      what,
      () => {
        const ended = members.filter((name) => !this.#member(name).running)
        if (ended.length > 0) {
          throw new Error(`${what}: ${ended} ended by itself, see ${this.#context.logFile}`)
        }
        return this.#log.isSettled(members)
      },
      () => {
        const owned = [...this.#log.owned()].map(([name, partitions]) => `${name}: ${partitions}`)
        return `after ${what}, ${members} do not share the partitions: ${owned.join('; ') || 'nobody owns any'}`
      },
    )
  }

  async #until(what: string, condition: () => boolean, describe: () => string): Promise<void> {
    const deadline = performance.now() + STEP_TIMEOUT_MS
    while (!condition()) {
      if (performance.now() > deadline) throw new Error(`${what}: ${describe()} (${STEP_TIMEOUT_MS} ms)`)
      await sleep(POLL_MS)
    }
  }

  #checkOwners(): void {
    const overlaps = this.#log.overlaps(this.client.readAfterMs)
    if (overlaps.length > 0) throw new Error(`two owners at once: ${overlaps.join('; ')}`)
  }
}

/** Records go to the partitions in turn. */
function endOffsets(records: number): number[] {
  return Array.from({ length: PARTITIONS }, (_, partition) => Math.ceil((records - partition) / PARTITIONS))
}
