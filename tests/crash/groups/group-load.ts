/**
 * Groups that go on through kills: two steady ones whose members never change, one of either protocol, and two
 * that a member enters and leaves again and again, so that kills fall into rebalances.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { awaitCoordinator, leaveClassicGroup } from '../../../bench/wire/group-membership.ts'
import { RawConnection } from '../../../bench/wire/raw-connection.ts'
import { wasKilled } from '../killed.ts'
import type { Model } from '../model.ts'
import type { Random } from '../random.ts'
import { ClassicMember } from './classic-member.ts'
import { checkOffsets } from './committed-offsets.ts'
import { ConsumerMember } from './consumer-member.ts'
import type { Member } from './member.ts'

export const steadyGroups = ['steady-classic', 'steady-consumer'] as const
export const changingGroups = ['changing-classic', 'changing-consumer'] as const
const MEMBERS = 3
const VISIT_MS = { least: 40, most: 300 }
const WATCH_MS = 5
const POLL_MS = 5
const SETTLE_TIMEOUT_MS = 30_000

export class GroupLoad {
  readonly #model: Model
  readonly #random: Random
  readonly #members: Member[] = []
  readonly #visitors: (ClassicMember | ConsumerMember)[] = []
  readonly #onFailure: (error: Error) => void
  #running = false
  #visiting = false
  #settledOnce = false
  #background: Promise<void>[] = []
  #watcher: RawConnection | undefined

  constructor(model: Model, random: Random, onFailure: (error: Error) => void) {
    this.#model = model
    this.#random = random
    this.#onFailure = onFailure
    const onFault = (fault: string) => model.liveFaults.push(fault)
    for (const group of [...steadyGroups, ...changingGroups]) {
      const Kind = group.endsWith('classic') ? ClassicMember : ConsumerMember
      const common = { group, offsets: model.offsets, onFault, onFailure }
      const isSteady = steadyGroups.some((name) => name === group)
      const steady = () => isSteady && this.#settledOnce
      for (let index = 0; index < MEMBERS; index++) {
        this.#members.push(new Kind({ ...common, name: `${group}-${index}`, steady }))
      }
      if (!isSteady) this.#visitors.push(new Kind({ ...common, name: `${group}-visitor`, steady }))
    }
  }

  begin(port: number): void {
    this.#running = true
    this.#visiting = true
    const running = () => this.#running
    this.#background = [
      ...this.#members.map((member) => member.run(port, running)),
      ...this.#visitors.map((visitor) => this.#visit(port, visitor)),
      this.#watch(port),
    ]
  }

  /** Resolves when everything that runs in the background has ended. */
  async end(): Promise<void> {
    this.#running = false
    for (const member of [...this.#members, ...this.#visitors]) member.close()
    this.#watcher?.close()
    await Promise.all(this.#background)
  }

  /** Sends the visitors away and waits until every group has a generation that owns everything, each part once. */
  async settle(): Promise<void> {
    this.#visiting = false
    const deadlineMs = performance.now() + SETTLE_TIMEOUT_MS
    while (!this.#settled()) {
      if (performance.now() > deadlineMs) {
        this.#model.liveFaults.push(`the groups did not settle: ${this.#describe()}`)
        return
      }
      await delay(POLL_MS)
    }
    this.#settledOnce = true
  }

  /** Throws a member out of a steady group, which nothing but a test of this test does. */
  async expelOne(port: number): Promise<void> {
    const connection = await RawConnection.open(port)
    try {
      const member = this.#members.find(({ group }) => group === steadyGroups[0])!
      await leaveClassicGroup(connection, member.group, [member.id])
    } finally {
      connection.close()
    }
  }

  #settled(): boolean {
    if (this.#visitors.some((visitor) => visitor.owned.length > 0)) return false
    return [...this.#model.offsets.byGroup].every(([group, offsets]) => {
      const members = this.#members.filter((member) => member.group === group)
      const owned = members.flatMap((member) => member.owned)
      return (
        members.every((member) => member.hasPlace && member.place === members[0]!.place) &&
        owned.length === offsets.length &&
        new Set(owned).size === owned.length
      )
    })
  }

  #describe(): string {
    return [...this.#members, ...this.#visitors]
      .map(
        (member) => `${member.group} ${member.hasPlace ? member.place : 'out'} [${member.owned.join(' ')}]`,
      )
      .join(', ')
  }

  /** Enters, stays for a moment and leaves, until told to stop. */
  async #visit(port: number, visitor: ClassicMember | ConsumerMember): Promise<void> {
    const pause = () => delay(this.#random.between(VISIT_MS.least, VISIT_MS.most))
    try {
      const leaving = await RawConnection.open(port)
      try {
        // It may still have a place from before the kill, and gives it back like any other.
        while (this.#running) {
          if (this.#visiting) {
            let staying = true
            const stay = visitor.run(port, () => this.#running && staying)
            await pause()
            staying = false
            // A join waits for the others; leaving ends that, too.
            visitor.close()
            await stay
          }
          if (!this.#running) break
          await visitor.leave(leaving)
          await pause()
        }
      } finally {
        leaving.close()
      }
    } catch (error) {
      if (!wasKilled(error)) this.#onFailure(error as Error)
    }
  }

  /** Asks for all committed offsets again and again: none may ever go back. */
  async #watch(port: number): Promise<void> {
    try {
      const connection = await RawConnection.open(port)
      this.#watcher = connection
      await awaitCoordinator(connection, 'group', [...this.#model.offsets.byGroup.keys()])
      while (this.#running) {
        for (const offsets of this.#model.offsets.byGroup.values()) {
          const faults = await checkOffsets(connection, this.#model.offsets.topic, offsets)
          for (const fault of faults) this.#model.liveFaults.push(`while running: ${fault}`)
        }
        await delay(WATCH_MS)
      }
    } catch (error) {
      if (!wasKilled(error)) this.#onFailure(error as Error)
    } finally {
      this.#watcher?.close()
    }
  }
}
