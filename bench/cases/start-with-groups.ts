/** (f) How long a broker that keeps many groups takes from the start of its process until each can go on. */
import { setTimeout as delay } from 'node:timers/promises'
import { errorByCode, offsetCommit, offsetFetch } from '@streambus/protocol'
import { residentBytes } from '../machine.ts'
import type { Session } from '../session.ts'
import { type RestartableSystem, type SystemName, startKafkaSystem } from '../systems.ts'
import { awaitCoordinator } from '../wire/group-membership.ts'
import { ConnectionLostError, RawConnection } from '../wire/raw-connection.ts'
import { retried } from '../wire/retried.ts'

export interface StoredGroups {
  readonly topic: string
  readonly groups: number
  readonly offsetsEach: number
}

export const manyGroups: StoredGroups = { topic: 'offsets', groups: 10_000, offsetsEach: 100 }
const fewGroups: StoredGroups = { topic: 'offsets', groups: 500, offsetsEach: 100 }

const COMMIT_VERSION = 9
const FETCH_VERSION = 8
const COMMITS_IN_FLIGHT = 20
const GROUPS_PER_FETCH = 200
/** Asking takes time from loading, so it is not done more often than the figure needs. */
const RETRY_MS = 20
const TIMEOUT_MS = 120_000
const compared: readonly SystemName[] = ['streambus-fsync', 'kafka']

export async function measureStartWithGroups(session: Session): Promise<void> {
  const stored = session.settings.quick ? fewGroups : manyGroups
  const offsets = (stored.groups * stored.offsetsEach).toLocaleString('en-US')
  session.say(`\n(f) start with ${stored.groups} groups and ${offsets} committed offsets`)
  const names = session.chosen(compared)
  const systems = new Map<SystemName, RestartableSystem>()
  try {
    for (const name of names) {
      const system = await startKafkaSystem(name, session.newFolder(name))
      session.versions.set(name, system.version)
      systems.set(name, system)
      await storeGroups(system, stored)
      await system.stop()
    }
    await session.alternate('start-groups', names, session.settings.rounds, async (name) => {
      const system = systems.get(name)!
      const answeredMs = await timeToAllGroups(() => system.restart(), system.port, stored)
      await checkOffsets(system.port, stored)
      const residentMb = residentBytes(system.pid) / 1e6
      await system.stop()
      return { values: { answeredMs, residentMb, offsets: stored.groups * stored.offsetsEach } }
    })
  } finally {
    for (const system of systems.values()) await system.discard()
  }
}

/** Commits an offset for every partition of the topic in every group. */
export async function storeGroups(system: RestartableSystem, stored: StoredGroups): Promise<void> {
  const { topic, groups, offsetsEach } = stored
  await system.createTopic(topic, offsetsEach)
  const connection = await RawConnection.open(system.port)
  try {
    await awaitCoordinator(connection, 'group', [groupName(0)])
    let next = 0
    const lanes = Array.from({ length: COMMITS_IN_FLIGHT }, async () => {
      while (next < groups) await commitAll(connection, stored, next++)
    })
    await Promise.all(lanes)
  } finally {
    connection.close()
  }
}

/** Milliseconds from before `start` until every group has told one of its offsets. */
export async function timeToAllGroups(
  start: () => Promise<void>,
  port: number,
  stored: StoredGroups,
): Promise<number> {
  const startedMs = performance.now()
  const [answeredMs] = await Promise.all([askAllGroups(port, stored, startedMs), start()])
  return answeredMs - startedMs
}

function groupName(index: number): string {
  return `group-${index}`
}

function offsetOf(group: number, partition: number): bigint {
  return BigInt(group * 1000 + partition)
}

async function commitAll(connection: RawConnection, stored: StoredGroups, group: number): Promise<void> {
  const { topic, offsetsEach } = stored
  const partitions = Array.from({ length: offsetsEach }, (_, partitionIndex) => ({
    partitionIndex,
    committedOffset: offsetOf(group, partitionIndex),
    committedLeaderEpoch: 0,
    committedMetadata: '',
  }))
  await retried(
    `committing for ${groupName(group)}`,
    () =>
      connection.request(offsetCommit, COMMIT_VERSION, {
        groupId: groupName(group),
        memberId: '',
        topics: [{ name: topic, partitions }],
      }),
    ({ topics: [answer] }) =>
      answer?.partitions.find(({ errorCode }) => errorCode !== 0)?.errorCode ??
      (answer === undefined ? undefined : 0),
  )
}

async function askAllGroups(port: number, stored: StoredGroups, startedMs: number): Promise<number> {
  let waiting = Array.from({ length: stored.groups }, (_, index) => index)
  let reason = 'nothing accepts connections'
  while (performance.now() - startedMs < TIMEOUT_MS) {
    try {
      const connection = await RawConnection.open(port)
      try {
        while (waiting.length > 0) {
          const first = waiting.slice(0, GROUPS_PER_FETCH)
          const refused = await fetchOffsets(connection, stored, first, [0])
          if (refused.length > 0) await delay(RETRY_MS)
          // Those that are not ready come last in the next round.
          waiting = [...waiting.slice(GROUPS_PER_FETCH), ...refused]
        }
        return performance.now()
      } finally {
        connection.close()
      }
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      if (!(error instanceof ConnectionLostError) && code !== 'ECONNREFUSED' && code !== 'ECONNRESET')
        throw error
      reason = (error as Error).message
    }
    await delay(RETRY_MS)
  }
  throw new Error(`${waiting.length} groups told no offset in ${TIMEOUT_MS} ms: ${reason}`)
}

/** Every offset of every group, which takes longer than what is measured. */
async function checkOffsets(port: number, stored: StoredGroups): Promise<void> {
  const connection = await RawConnection.open(port)
  const partitions = Array.from({ length: stored.offsetsEach }, (_, partition) => partition)
  try {
    for (let first = 0; first < stored.groups; first += GROUPS_PER_FETCH) {
      const count = Math.min(GROUPS_PER_FETCH, stored.groups - first)
      const groups = Array.from({ length: count }, (_, index) => first + index)
      const refused = await fetchOffsets(connection, stored, groups, partitions)
      if (refused.length > 0) throw new Error(`${groupName(refused[0]!)} refuses what it answered before`)
    }
  } finally {
    connection.close()
  }
}

/** Returns the groups that are not ready; throws when one tells something else than was committed. */
async function fetchOffsets(
  connection: RawConnection,
  { topic }: StoredGroups,
  groups: readonly number[],
  partitionIndexes: readonly number[],
): Promise<number[]> {
  const answer = await connection.request(offsetFetch, FETCH_VERSION, {
    groups: groups.map((group) => ({
      groupId: groupName(group),
      topics: [{ name: topic, partitionIndexes: [...partitionIndexes] }],
    })),
  })
  const refused: number[] = []
  const byName = new Map(answer.groups.map((group) => [group.groupId, group]))
  for (const group of groups) {
    const told = byName.get(groupName(group))
    if (told === undefined) throw new Error(`no answer for ${groupName(group)}`)
    if (told.errorCode !== 0) {
      const { name, retriable } = errorByCode(told.errorCode)
      if (!retriable) throw new Error(`${groupName(group)}: ${name}`)
      refused.push(group)
      continue
    }
    const partitions = told.topics[0]?.partitions ?? []
    if (partitions.length !== partitionIndexes.length) throw new Error(`${groupName(group)} tells too little`)
    for (const { partitionIndex, committedOffset, errorCode } of partitions) {
      if (errorCode !== 0 || committedOffset !== offsetOf(group, partitionIndex)) {
        throw new Error(`${groupName(group)} tells ${committedOffset} for partition ${partitionIndex}`)
      }
    }
  }
  return refused
}
