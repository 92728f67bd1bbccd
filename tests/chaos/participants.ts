/** Who takes part: how many members each group has, and which workers run, changes all the time. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Random } from '../crash/random.ts'
import {
  type GroupSpec,
  joinGroup,
  type Participant,
  type Place,
  startWorker,
  type WorkerSpec,
} from './handlers.ts'

const MOST_MEMBERS = 3
/** How long a worker and the one that takes its transactional id over run side by side. */
const TAKEOVER_MS = 1_000

interface Group {
  readonly spec: GroupSpec
  readonly place: Place
  readonly members: Participant[]
}

interface Worker {
  readonly spec: WorkerSpec
  readonly place: Place
  running: Participant
}

export class Participants {
  readonly #groups: Group[] = []
  readonly #workers: Worker[] = []
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
  }

  async addGroup(spec: GroupSpec, place: Place): Promise<void> {
    this.#groups.push({ spec, place, members: [await joinGroup(spec, place)] })
  }

  async addWorker(spec: WorkerSpec, place: Place): Promise<void> {
    this.#workers.push({ spec, place, running: await startWorker(spec, place) })
  }

  async change(): Promise<string> {
    const chosen = this.#random.between(0, this.#groups.length + this.#workers.length - 1)
    const group = this.#groups[chosen]
    if (group !== undefined) return await this.#changeGroup(group)
    return await this.#replace(this.#workers[chosen - this.#groups.length]!)
  }

  /** The members of the first group go on as members, and handle nothing more. */
  pauseGroup(): void {
    for (const member of this.#groups[0]!.members) member.pause()
  }

  async close(): Promise<void> {
    const everybody = [
      ...this.#groups.flatMap(({ members }) => members),
      ...this.#workers.map((one) => one.running),
    ]
    await Promise.all(everybody.map((one) => one.leave(true)))
  }

  async #changeGroup({ spec, place, members }: Group): Promise<string> {
    const joins = members.length === 1 || (members.length < MOST_MEMBERS && this.#random.between(0, 1) === 0)
    if (joins) {
      members.push(await joinGroup(spec, place))
      return `${spec.group} has ${members.length} members`
    }
    const [leaving] = members.splice(this.#random.between(0, members.length - 1), 1)
    await leaving!.leave(this.#random.between(0, 1) === 0)
    return `${spec.group} has ${members.length} members`
  }

  async #replace(worker: Worker): Promise<string> {
    const { spec, place, running } = worker
    const { transactionalId } = spec
    if (this.#random.between(0, 1) === 0) {
      await running.leave(this.#random.between(0, 1) === 0)
      worker.running = await startWorker(spec, place)
      return `${transactionalId} was replaced`
    }
    running.expectTakeover()
    worker.running = await startWorker(spec, place)
    await delay(TAKEOVER_MS)
    await running.leave(true)
    return `${transactionalId} was taken over`
  }
}
