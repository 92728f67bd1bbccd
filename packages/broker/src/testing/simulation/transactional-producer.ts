import {
  addOffsetsToTxn,
  addPartitionsToTxn,
  type EndTxnResponse,
  ErrorCode,
  encodeRecordBatch,
  endTxn,
  initProducerId,
  produce,
  txnOffsetCommit,
} from '@streambus/protocol'
import { isRetriable } from './classic-member.ts'
import type { ClientTransaction } from './data-logs.ts'
import { commitWords, offsetKey } from './group-replica.ts'
import { Client } from './network.ts'
import type { SeededRandom } from './seeded-random.ts'
import { check } from './simulation-failure.ts'
import { TransactionStatus } from './transaction-replica.ts'
import type { World } from './world.ts'

export interface TransactionalProducerOptions {
  readonly transactionalId: string
  readonly topics: readonly string[]
  /** Group whose offsets go with the transactions, for these topics. */
  readonly groupId: string
  readonly groupTopics: readonly string[]
  /** Members of that group, for whom the offsets may be committed. */
  readonly members: readonly GroupIdentity[]
  /** 2: partitions join by being written to, and every transaction has an epoch of its own (KIP-890). */
  readonly version: 1 | 2
  /** Whether the producer's process ends in the middle of its work when everything comes to an end. */
  readonly diesAtEnd: boolean
}

/** What a member of a group goes by. */
export interface GroupIdentity {
  readonly memberId: string
  /** Generation of a classic member, epoch of another one; below 0 where it has none. */
  readonly generation: number
  readonly options: { readonly instanceId: string | null }
}

/** Somebody else has the transactional id now: nothing more can be done. */
class Fenced extends Error {}
/** The transaction cannot go on; a new epoch is needed. */
class Broken extends Error {}

const FENCING_CODES: ReadonlySet<number> = new Set([
  ErrorCode.PRODUCER_FENCED,
  ErrorCode.INVALID_PRODUCER_EPOCH,
  ErrorCode.INVALID_PRODUCER_ID_MAPPING,
])
const MAX_ATTEMPTS = 12
const CALL_TIMEOUT_MS = 5000

/** A transactional producer that behaves like a client under trouble, protocol of KIP-98 or of KIP-890. */
export class TransactionalProducer {
  readonly client: Client
  readonly #world: World
  readonly #random: SeededRandom
  readonly #options: TransactionalProducerOptions
  readonly #timeoutMs: number
  #producerId = -1n
  #epoch = -1
  #sequences = new Map<string, number>()
  #added = new Set<string>()
  hasEnded = false

  constructor(world: World, options: TransactionalProducerOptions) {
    this.#world = world
    this.#options = options
    this.#random = world.random.fork()
    this.#timeoutMs = this.#random.pick([5000, 15_000, 40_000])
    this.client = new Client(world.newName(`producer-v${options.version}-`), world.network, world.time)
  }

  async run(): Promise<void> {
    try {
      while (!this.#world.isCalm) {
        try {
          await this.#initialize()
          for (let left = this.#random.between(1, 20); left > 0 && !this.#world.isCalm; left--) {
            await this.#transaction()
            // Some go on at once, while the end of the one before is still being written.
            if (this.#random.chance(0.6)) await this.client.sleep(this.#random.next() * 1500)
          }
        } catch (error) {
          if (!(error instanceof Broken)) throw error
          await this.client.sleep(this.#random.next() * 1000)
        }
      }
    } catch (error) {
      if (!(error instanceof Fenced)) throw error
    }
    this.hasEnded = true
  }

  async #initialize(): Promise<void> {
    const world = this.#world
    const { transactionalId, version } = this.#options
    const recovers = this.#producerId >= 0n && this.#random.chance(0.6)
    const identity = recovers
      ? { producerId: this.#producerId, producerEpoch: this.#epoch }
      : { producerId: -1n, producerEpoch: -1 }
    const apiVersion = recovers ? this.#random.between(3, 5) : this.#random.between(version === 2 ? 4 : 0, 5)
    for (let attempt = 0; attempt < 2 * MAX_ATTEMPTS; attempt++) {
      const response = await this.client.call(
        initProducerId,
        apiVersion,
        {
          transactionalId,
          transactionTimeoutMs: this.#timeoutMs,
          ...(apiVersion >= 3 ? identity : {}),
        },
        {
          timeoutMs: CALL_TIMEOUT_MS,
          observe: () => {
            const before = world.transactions.transactions.get(transactionalId)
            return (answer) => {
              if (answer === null || answer.errorCode !== ErrorCode.NONE) return
              // One epoch back is a producer that has not heard of its last one.
              check(
                before?.producerId !== identity.producerId ||
                  identity.producerEpoch + 1 >= before.producerEpoch,
                () =>
                  `${transactionalId} was taken over from epoch ${before?.producerEpoch} by ${identity.producerEpoch}`,
              )
              const durable = world.transactions.transactions.get(transactionalId)
              check(
                durable?.producerId === answer.producerId && durable.producerEpoch === answer.producerEpoch,
                () =>
                  `${transactionalId} was told producer ${answer.producerId}/${answer.producerEpoch}, and ${durable?.producerId}/${durable?.producerEpoch} is durable`,
              )
              world.data.fence(Number(answer.producerId), answer.producerEpoch)
            }
          },
        },
      )
      if (response !== null && response.errorCode === ErrorCode.NONE) {
        this.#became(response.producerId, response.producerEpoch)
        return
      }
      if (response !== null) this.#refused(response.errorCode)
      await this.client.sleep(this.#random.next() * 500)
    }
    throw new Broken('no producer id')
  }

  async #transaction(): Promise<void> {
    const world = this.#world
    // A client of KIP-890 may abort although it has written nothing: it gets another epoch.
    if (this.#options.version === 2 && this.#random.chance(0.1)) {
      await this.#end(world.data.begin(world.newName('txn')), false)
    }
    const transaction = world.data.begin(world.newName('txn'))
    if (this.#options.version === 1) this.#added = new Set()
    let isEmpty = true
    for (let left = this.#random.between(1, 5); left > 0; left--) {
      if (world.isCalm && this.#options.diesAtEnd) {
        this.client.kill()
        this.hasEnded = true
      }
      if (!world.isCalm && this.#random.chance(0.02)) await this.client.sleep(this.#random.next() * 60_000)
      isEmpty = false
      const choice = this.#random.next()
      if (choice < 0.1) await both(this.#sendOffsets(transaction), this.#write(transaction))
      else if (choice < 0.35) await this.#sendOffsets(transaction)
      else await this.#write(transaction)
      await this.client.sleep(this.#random.next() * 300)
    }
    if (!isEmpty) await this.#end(transaction, this.#random.chance(0.7))
  }

  /** Records for one partition, or for several at once. */
  async #write(transaction: ClientTransaction): Promise<void> {
    const world = this.#world
    const { transactionalId, version } = this.#options
    const name = this.#random.pick(this.#options.topics)
    const { logs } = world.topic(name)!
    const all = Array.from(logs, (_, partition) => partition)
    const chosen = this.#random.chance(0.3) ? this.#random.some(all) : [this.#random.pick(all)]
    if (version === 1) for (const partition of chosen) await this.#addPartition(name, partition)
    const waiting = new Map(chosen.map((partition) => [partition, this.#batch(transaction, name, partition)]))
    await this.#insist('produce', async () => {
      const response = await this.client.call(
        produce,
        version === 2 ? 12 : this.#random.between(3, 11),
        {
          transactionalId,
          acks: -1,
          timeoutMs: 5000,
          topicData: [
            { name, partitionData: [...waiting].map(([index, { records }]) => ({ index, records })) },
          ],
        },
        {
          timeoutMs: CALL_TIMEOUT_MS,
          mayArriveLate: version === 2,
          observe: () => {
            const sent = new Map(waiting)
            return (answer) => {
              for (const { index, errorCode, baseOffset } of answer?.responses[0]?.partitionResponses ?? []) {
                if (errorCode !== ErrorCode.NONE) continue
                for (const [at, value] of sent.get(index)!.values.entries()) {
                  const offset = Number(baseOffset) + at
                  world.data.checkWritten(logs[index]!, offset, value)
                  if (transaction.acknowledged.some((each) => each.value === value)) continue
                  transaction.acknowledged.push({ logId: logs[index]!, offset, value })
                }
              }
            }
          },
        },
      )
      if (response === null) return null
      let failure: number = ErrorCode.NONE
      for (const { index, errorCode } of response.responses[0]!.partitionResponses) {
        if (errorCode === ErrorCode.NONE) waiting.delete(index)
        else failure = errorCode
      }
      return failure
    })
  }

  #batch(
    transaction: ClientTransaction,
    topic: string,
    partition: number,
  ): { records: Uint8Array; values: string[] } {
    const key = `${topic}-${partition}`
    const baseSequence = this.#sequences.get(key) ?? 0
    const values = Array.from(
      { length: this.#random.between(1, 3) },
      () => `${transaction.id}:${this.#world.newName('r')}`,
    )
    this.#sequences.set(key, baseSequence + values.length)
    const timestamp = this.#world.time.nowMs()
    const records = encodeRecordBatch(
      values.map((value) => ({ value, timestamp })),
      { producerId: this.#producerId, producerEpoch: this.#epoch, baseSequence, transactional: true },
    )
    return { records, values }
  }

  async #addPartition(topic: string, partition: number): Promise<void> {
    const { transactionalId } = this.#options
    const key = `${topic}-${partition}`
    if (this.#added.has(key)) return
    await this.#insist('add a partition', async () => {
      const response = await this.client.call(
        addPartitionsToTxn,
        this.#random.between(0, 3),
        {
          v3AndBelowTransactionalId: transactionalId,
          v3AndBelowProducerId: this.#producerId,
          v3AndBelowProducerEpoch: this.#epoch,
          v3AndBelowTopics: [{ name: topic, partitions: [partition] }],
        },
        {
          timeoutMs: CALL_TIMEOUT_MS,
          observe: () => (answer) => {
            const result = answer?.resultsByTopicV3AndBelow[0]?.resultsByPartition[0]
            if (result === undefined || result.partitionErrorCode !== ErrorCode.NONE) return
            const durable = this.#world.transactions.transactions.get(transactionalId)
            check(
              durable?.transactionStatus === TransactionStatus.ONGOING &&
                durable.transactionPartitions?.some(
                  (each) => each.topic === topic && each.partitionIds.includes(partition),
                ) === true,
              () => `${key} was added to a transaction of ${transactionalId}, and that is not durable`,
            )
          },
        },
      )
      return response?.resultsByTopicV3AndBelow[0]?.resultsByPartition[0]?.partitionErrorCode ?? null
    })
    this.#added.add(key)
  }

  async #sendOffsets(transaction: ClientTransaction): Promise<void> {
    const world = this.#world
    const { transactionalId, groupId, groupTopics, version } = this.#options
    const topic = this.#random.pick(groupTopics)
    const partitions = world.topic(topic)?.logs.length ?? 1
    const commits = this.#random
      .some(Array.from({ length: partitions }, (_, partition) => partition))
      .map((partition) => ({
        partition,
        offset: this.#random.between(0, 1_000_000),
        metadata: `${transaction.id}:${world.newName('o')}`,
      }))
    if (version === 1 && !this.#added.has(groupId)) {
      await this.#insist('add a group', async () => {
        const response = await this.client.call(
          addOffsetsToTxn,
          this.#random.between(0, 3),
          { transactionalId, producerId: this.#producerId, producerEpoch: this.#epoch, groupId },
          { timeoutMs: CALL_TIMEOUT_MS },
        )
        return response?.errorCode ?? null
      })
      this.#added.add(groupId)
    }
    const producerId = Number(this.#producerId)
    const member = this.#memberToCommitFor()
    await this.#insist('commit offsets', async () => {
      const response = await this.client.call(
        txnOffsetCommit,
        version === 2 ? 5 : this.#random.between(member === undefined ? 0 : 3, 4),
        {
          ...member,
          transactionalId,
          groupId,
          producerId: this.#producerId,
          producerEpoch: this.#epoch,
          topics: [
            {
              name: topic,
              partitions: commits.map(({ partition, offset, metadata }) => ({
                partitionIndex: partition,
                committedOffset: BigInt(offset),
                committedMetadata: metadata,
              })),
            },
          ],
        },
        {
          timeoutMs: CALL_TIMEOUT_MS,
          mayArriveLate: version === 2,
          observe: () => {
            const generation = world.groups.classic.get(groupId)?.generation
            const lives = world.groups.livesOf(groupId)
            const ends = commits.map(({ partition, offset, metadata }) =>
              world.asked.begin(commitWords(offsetKey(groupId, topic, partition), offset, metadata)),
            )
            return (answer) => {
              for (const end of ends) end()
              for (const { partitionIndex, errorCode } of answer?.topics[0]?.partitions ?? []) {
                if (errorCode !== ErrorCode.NONE) continue
                const name = offsetKey(groupId, topic, partitionIndex)
                const { metadata } = commits.find(({ partition }) => partition === partitionIndex)!
                check(
                  world.groups.pendingOf(producerId, name)?.metadata === metadata,
                  () => `${metadata} of ${name} was acknowledged to ${transactionalId}, and is not durable`,
                )
                check(
                  member === undefined ||
                    generation === undefined ||
                    member.generationIdOrMemberEpoch >= generation ||
                    world.groups.livesOf(groupId) !== lives,
                  () =>
                    `${metadata} of generation ${member?.generationIdOrMemberEpoch} of ${groupId} was taken in generation ${generation}`,
                )
              }
            }
          },
        },
      )
      const codes = response?.topics[0]?.partitions.map(({ errorCode }) => errorCode)
      return codes === undefined ? null : (codes.find((code) => code !== ErrorCode.NONE) ?? ErrorCode.NONE)
    })
  }

  /** Who the group must still know, or the offsets are refused (KIP-447). */
  #memberToCommitFor() {
    const { members } = this.#options
    if (members.length === 0 || this.#random.chance(0.2)) return undefined
    const { memberId, generation, options } = this.#random.pick(members)
    if (memberId === '' || generation < 0) return undefined
    return { memberId, generationIdOrMemberEpoch: generation, groupInstanceId: options.instanceId }
  }

  async #end(transaction: ClientTransaction, committed: boolean): Promise<void> {
    const world = this.#world
    const { transactionalId, version } = this.#options
    if (committed) transaction.commitAsked = true
    let ended: EndTxnResponse | undefined
    await this.#insist('end', async () => {
      const response = await this.client.call(
        endTxn,
        version === 2 ? 5 : this.#random.between(0, 4),
        { transactionalId, producerId: this.#producerId, producerEpoch: this.#epoch, committed },
        {
          timeoutMs: CALL_TIMEOUT_MS,
          mayArriveLate: version === 2,
          observe: () => {
            const end = committed ? world.asked.begin(`commit transaction ${transactionalId}`) : undefined
            return (answer) => {
              end?.()
              if (answer === null || answer.errorCode !== ErrorCode.NONE) return
              transaction.answered = committed ? 'committed' : 'aborted'
              const status = world.transactions.transactions.get(transactionalId)?.transactionStatus
              check(
                committed
                  ? status === TransactionStatus.PREPARE_COMMIT ||
                      status === TransactionStatus.COMPLETE_COMMIT
                  : status === TransactionStatus.PREPARE_ABORT || status === TransactionStatus.COMPLETE_ABORT,
                () =>
                  `${transaction.id} was answered ${transaction.answered}, and state ${status} is durable`,
              )
            }
          },
        },
      )
      if (response?.errorCode === ErrorCode.NONE) ended = response
      return response?.errorCode ?? null
    })
    if (version === 2) this.#became(ended!.producerId, ended!.producerEpoch)
  }

  /** Tries until it is done. Throws where it cannot be. */
  async #insist(what: string, attempt: () => Promise<number | null>): Promise<void> {
    for (let count = 0; count < MAX_ATTEMPTS; count++) {
      const errorCode = await attempt()
      if (errorCode === ErrorCode.NONE) return
      if (errorCode !== null) this.#refused(errorCode)
      await this.client.sleep(this.#random.next() * 400)
    }
    throw new Broken(`could not ${what}`)
  }

  #refused(errorCode: number): void {
    this.#checkFenced(errorCode)
    switch (errorCode) {
      case ErrorCode.CONCURRENT_TRANSACTIONS:
      case ErrorCode.KAFKA_STORAGE_ERROR:
      case ErrorCode.NOT_ENOUGH_REPLICAS:
      case ErrorCode.NOT_LEADER_OR_FOLLOWER:
      case ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
        return
      case ErrorCode.PRODUCER_FENCED:
      case ErrorCode.INVALID_PRODUCER_EPOCH:
        // A transaction that took too long is aborted with a new epoch: from where the producer stands the same.
        if (this.#random.chance(0.5)) throw new Fenced()
        throw new Broken('fenced')
      default:
        if (isRetriable(errorCode)) return
        throw new Broken(`error ${errorCode}`)
    }
  }

  /** The producer that holds the id, as the log says, is not told that it is somebody else's. */
  #checkFenced(errorCode: number): void {
    if (!FENCING_CODES.has(errorCode)) return
    const { transactionalId } = this.#options
    const durable = this.#world.transactions.transactions.get(transactionalId)
    if (durable === undefined) return
    const { producerId, producerEpoch, nextProducerId, transactionStatus } = durable
    const holds = producerId === this.#producerId && producerEpoch === this.#epoch
    const willHold = nextProducerId === this.#producerId && this.#epoch === 0
    check(
      !holds && !willHold,
      () =>
        `${transactionalId} is held by ${this.#producerId}/${this.#epoch} in state ${transactionStatus}, which was told ${errorCode}`,
    )
  }

  #became(producerId: bigint, epoch: number): void {
    if (producerId !== this.#producerId || epoch !== this.#epoch) this.#sequences = new Map()
    this.#producerId = producerId
    this.#epoch = epoch
  }
}

/** Nothing of either is left behind when one fails. */
async function both(one: Promise<void>, other: Promise<void>): Promise<void> {
  for (const result of await Promise.allSettled([one, other])) {
    if (result.status === 'rejected') throw result.reason
  }
}

/** Runs of one application after the other; a former run may live on beside its successor. */
export async function runTransactionalApplication(
  world: World,
  options: Omit<TransactionalProducerOptions, 'diesAtEnd'>,
): Promise<void> {
  const random = world.random.fork()
  await world.time.sleep(random.next() * 5000)
  while (!world.isCalm) {
    const producer = new TransactionalProducer(world, { ...options, diesAtEnd: random.chance(0.4) })
    world.time.background(producer.run())
    const untilMs = world.time.elapsedMs + 5000 + random.next() * 60_000
    while (!world.isCalm && !producer.hasEnded && world.time.elapsedMs < untilMs) await world.time.sleep(1000)
    if (random.chance(0.5)) producer.client.kill()
  }
}
