import { deleteTopics } from '@streambus/protocol'
import { Client } from './network.ts'
import type { World } from './world.ts'

/** Topics that may change. */
export interface TroubledTopics {
  /** Is deleted and made again. */
  readonly passing: string
  /** Get more partitions. */
  readonly enlarged: readonly string[]
}

const DAY_MS = 86_400_000
const MAX_PARTITIONS = 6

/** How much of which trouble a seed has. */
export async function runTrouble(world: World, topics: TroubledTopics): Promise<void> {
  const random = world.random.fork()
  const client = new Client(world.newName('operator-'), world.network, world.time)
  const { faults } = world.network
  const network = random.pick([0, 0.002, 0.02, 0.1])
  faults.lostRequest = network
  faults.lostResponse = network
  faults.duplicate = network / 2
  faults.slow = random.pick([0, 0.01, 0.1])
  world.faults.writeMs = random.pick([1, 4, 40, 400])
  world.faults.readMs = random.pick([1, 3, 300])
  world.faults.sizeFactor = random.pick([1, 1000, 10_000])
  world.faults.stall = random.pick([0, 0.001, 0.01])
  world.faults.refusal = random.pick([0, 0, 0.002, 0.02, 0.3])
  world.crashAtAppend = random.pick([0, 0, 0.001, 0.005, 0.03])
  const everyMs = random.pick([3000, 15_000, 60_000])
  const hasDiskTrouble = random.chance(0.5)
  const clockJumps = random.chance(0.3)
  while (!world.isCalm) {
    await world.time.sleep(random.next() * 2 * everyMs)
    if (world.isCalm) return
    const choice = random.between(0, 9)
    if (choice <= 1) await world.crash('of itself')
    else if (choice === 2) await world.restart()
    else if (choice === 3 && hasDiskTrouble) await world.failWriter()
    else if (choice <= 5 && hasDiskTrouble) {
      world.count('full disks')
      world.note(() => 'the disk is full')
      world.faults.full = true
      await world.time.sleep(random.next() * 8000)
      world.faults.full = false
      world.note(() => 'the disk has room')
    } else if (choice === 6 && clockJumps) {
      const jumpMs = random.pick([-3_600_000, -5000, 5000, 3_600_000, 8 * DAY_MS, 8 * DAY_MS])
      world.count(jumpMs > 0 ? 'jumps of the clock' : 'jumps of the clock backwards')
      world.note(() => `the clock jumps by ${jumpMs} ms`)
      world.time.skewMs += jumpMs
    } else if (choice === 7) {
      const topic = world.topic(topics.passing)
      if (topic === undefined) {
        world.note(() => `${topics.passing} is created`)
        await world.durable.createTopic({ name: topics.passing, partitions: random.between(1, 3) })
      } else {
        world.count('deletions of a topic')
        world.groups.deletedTopics.add(topics.passing)
        await client.call(
          deleteTopics,
          5,
          { topicNames: [topics.passing], timeoutMs: 10_000 },
          { timeoutMs: 5000 },
        )
      }
    } else if (choice === 8) {
      const topic = world.topic(random.pick(topics.enlarged))!
      if (topic.logs.length < MAX_PARTITIONS) {
        world.count('topics with more partitions')
        world.note(() => `${topic.name} gets a partition`)
        await world.durable.createPartitions(topic.id, topic.logs.length + 1)
      }
    }
  }
}
