import { ErrorCode } from '@streambus/protocol'
import { type LogStore, StorageError, type Topic } from '@streambus/storage'
import { isInternalTopic } from '../coordinator/internal-topics.ts'
import { wireCodeOf } from '../storage-errors.ts'
import type { PartitionLimit } from './partition-limit.ts'
import { topicNameProblem } from './topic-name.ts'

export type FoundOrCreated =
  | { readonly topic: Topic }
  | { readonly topic: undefined; readonly errorCode: number }

/**
 * Creates topics that clients ask for. The creation is complete when the answer is given, so that the client
 * gets a topic with leaders and need not ask again. Clients that ask for one name at once get one topic.
 */
export class AutoCreation {
  readonly #store: LogStore
  readonly #limit: PartitionLimit
  readonly #enabled: boolean
  readonly #partitions: number
  readonly #running = new Map<string, Promise<FoundOrCreated>>()

  constructor(store: LogStore, limit: PartitionLimit, options: { enabled: boolean; partitions: number }) {
    this.#store = store
    this.#limit = limit
    this.#enabled = options.enabled
    this.#partitions = options.partitions
  }

  findOrCreate(name: string, allowed: boolean): FoundOrCreated | Promise<FoundOrCreated> {
    const topic = this.#store.topics.byName(name)
    if (topic !== undefined) return { topic }
    if (topicNameProblem(name) !== undefined) {
      return { topic: undefined, errorCode: ErrorCode.INVALID_TOPIC_EXCEPTION }
    }
    // The broker's own topics come when it needs them, with settings of its own.
    if (!allowed || !this.#enabled || isInternalTopic(name)) {
      return { topic: undefined, errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION }
    }
    const running = this.#running.get(name)
    if (running !== undefined) return running
    const creation = this.#create(name).finally(() => this.#running.delete(name))
    this.#running.set(name, creation)
    return creation
  }

  async #create(name: string): Promise<FoundOrCreated> {
    const refusal = this.#limit.reserve(this.#partitions)
    if (refusal !== undefined) return { topic: undefined, errorCode: refusal.errorCode }
    try {
      return { topic: await this.#store.createTopic({ name, partitions: this.#partitions }) }
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      if (error.code !== 'TOPIC_EXISTS') return { topic: undefined, errorCode: wireCodeOf(error) }
      // Somebody else created it meanwhile.
      const topic = this.#store.topics.byName(name)
      return topic === undefined ? { topic, errorCode: ErrorCode.LEADER_NOT_AVAILABLE } : { topic }
    } finally {
      this.#limit.settle(this.#partitions)
    }
  }
}
