import {
  type ConsumerGroupDescribeResponse,
  consumerGroupDescribe,
  type DescribeGroupsResponse,
  type DescribeTransactionsResponse,
  describeGroups,
  describeTransactions,
  listGroups,
  listTransactions,
  type OffsetFetchResponse,
  offsetFetch,
} from '@streambus/protocol'
import { BrokerProcess } from './broker-process.ts'
import { type ClassicMember, isRetriable } from './classic-member.ts'
import { readCommitted } from './committed-reader.ts'
import type { ConsumerMember } from './consumer-member.ts'
import { Client, inWords, Network } from './network.ts'
import { ReplayDisk } from './replay-disk.ts'
import { check } from './simulation-failure.ts'
import { PASSING_TOPIC, type World } from './world.ts'

/** A request that a broker without trouble has not answered after this is forgotten. */
const LONGEST_ANSWER_MS = 60_000

/** Asks the broker, at the end, whether all is well. */
export class Judge {
  readonly #world: World
  readonly #client: Client
  readonly #dataTopics: readonly string[]

  constructor(world: World, dataTopics: readonly string[]) {
    this.#world = world
    this.#dataTopics = dataTopics
    this.#client = new Client('judge', world.network, world.time)
  }

  /** What is not yet at its end, in words; undefined when everything is. */
  async unrest(members: readonly (ClassicMember | ConsumerMember)[]): Promise<string | undefined> {
    const world = this.#world
    for (const { words, sinceMs } of world.network.unanswered.values()) {
      if (sinceMs < world.time.elapsedMs - LONGEST_ANSWER_MS) return `${words} has no answer`
    }
    for (const { client, hasEnded, isStable } of members) {
      if (!hasEnded && !isStable) return `member ${client.id} has no assignment`
    }
    const groups = await this.#ask(this.#client.call(listGroups, 5, { statesFilter: [], typesFilter: [] }))
    if (groups === null || groups.errorCode !== 0) return `groups are not told: ${groups?.errorCode}`
    for (const { groupId, groupState } of groups.groups) {
      if (!['Stable', 'Empty', 'Dead'].includes(groupState)) return `group ${groupId} is ${groupState}`
    }
    const transactions = await this.#ask(
      this.#client.call(listTransactions, 0, { stateFilters: [], producerIdFilters: [] }),
    )
    if (transactions === null || transactions.errorCode !== 0) {
      return `transactions are not told: ${transactions?.errorCode}`
    }
    for (const { transactionalId, transactionState } of transactions.transactionStates) {
      if (!['Empty', 'CompleteCommit', 'CompleteAbort', 'Dead'].includes(transactionState)) {
        return `transaction ${transactionalId} is ${transactionState}`
      }
    }
    if (world.groups.pendingCount > 0) return 'offsets of transactions are pending'
    for (const topic of this.#dataTopics) {
      for (const [partition, logId] of world.topic(topic)!.logs.entries()) {
        const stable = await this.#ask(readCommitted(world, this.#client, topic, partition, 0, 12))
        if (stable !== world.data.endOffset(logId)) return `log ${logId} is stable to ${stable} only`
      }
    }
    return undefined
  }

  /**
   * A broker that reads the same log comes to the same state. Returns whether that could be seen: not while the
   * broker is in the middle of something.
   */
  async checkReplay(groupIds: readonly string[]): Promise<boolean> {
    const world = this.#world
    const present = await this.#describe(this.#client, groupIds)
    if (present === undefined) return false
    // It shares nothing with the broker but what is durable, and can change nothing of it.
    const process = new BrokerProcess({
      store: new ReplayDisk(world.durable),
      time: world.time,
      initialRebalanceDelayMs: 0,
      newId: () => 'no new member',
      log: () => undefined,
    })
    const network = new Network({
      time: world.time,
      random: world.random.fork(),
      trace: world.trace,
      server: () => process.serve,
    })
    await world.time.settle()
    const replayed = await this.#describe(new Client('judge', network, world.time), groupIds)
    process.kill()
    check(replayed !== undefined, () => 'a broker that reads the log does not answer')
    for (const [name, words] of present) {
      check(
        words === replayed.get(name),
        () => `the log says ${replayed.get(name)}, the broker says ${words}`,
      )
    }
    return true
  }

  /** All that is durable of groups and transactions, in words; undefined where it is not told at once. */
  async #describe(client: Client, groupIds: readonly string[]): Promise<Map<string, string> | undefined> {
    const transactionalIds = [...this.#world.transactions.transactions.keys()]
    let answers: Answers | undefined
    this.#world.time.background(
      Promise.all([
        client.callNow(describeGroups, 5, { groups: [...groupIds] }),
        client.callNow(consumerGroupDescribe, 1, {
          groupIds: [...groupIds],
          includeAuthorizedOperations: false,
        }),
        client.callNow(describeTransactions, 0, { transactionalIds }),
        client.callNow(offsetFetch, 8, { groups: groupIds.map((groupId) => ({ groupId, topics: null })) }),
      ]).then((all) => {
        answers = all
      }),
    )
    // No time passes.
    await this.#world.time.settle()
    return answers && inPieces(answers)
  }

  /** Lets time pass until the answer is there. */
  async #ask<T>(answer: Promise<T>): Promise<T> {
    let isThere = false
    const done = answer.then((value) => {
      isThere = true
      return value
    })
    while (!isThere) await this.#world.time.pass(20, 100_000)
    return done
  }
}

type Answers = [
  DescribeGroupsResponse | null,
  ConsumerGroupDescribeResponse | null,
  DescribeTransactionsResponse | null,
  OffsetFetchResponse | null,
]

function inPieces([classic, consumer, transactions, offsets]: Answers): Map<string, string> | undefined {
  if (classic === null || consumer === null || transactions === null || offsets === null) return undefined
  const pieces = new Map<string, string>()
  for (const group of classic.groups) {
    if (isRetriable(group.errorCode)) return undefined
    // Of a classic group only a generation is durable that everyone has got.
    if (group.groupState !== 'Stable') continue
    pieces.set(`classic ${group.groupId}`, inWords({ ...group, members: sorted(group.members) }))
  }
  for (const group of consumer.groups) {
    if (isRetriable(group.errorCode)) return undefined
    pieces.set(`consumer ${group.groupId}`, inWords({ ...group, members: sorted(group.members) }))
  }
  for (const transaction of transactions.transactionStates) {
    if (isRetriable(transaction.errorCode)) return undefined
    pieces.set(`transaction ${transaction.transactionalId}`, inWords(transaction))
  }
  for (const { groupId, errorCode, topics } of offsets.groups) {
    if (isRetriable(errorCode)) return undefined
    for (const { name, partitions } of topics) {
      // They go with their topic, before the log says so.
      if (name.startsWith(PASSING_TOPIC)) continue
      for (const each of partitions) {
        pieces.set(`offset ${groupId} ${name}-${each.partitionIndex}`, inWords(each))
      }
    }
  }
  return pieces
}

function sorted<T extends { memberId: string }>(members: readonly T[]): T[] {
  return [...members].sort((one, other) => (one.memberId < other.memberId ? -1 : 1))
}
