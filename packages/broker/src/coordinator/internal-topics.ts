import { type LogStore, StorageError, type Topic } from '@streambus/storage'

/** Offsets and group state. */
export const CONSUMER_OFFSETS = '__consumer_offsets'
/** Transactions and their coordinators' state. */
export const TRANSACTION_STATE = '__transaction_state'

/** As many as Kafka has, so that tools that compute a group's partition find the right one. */
const PARTITIONS = 50

const NAMES: ReadonlySet<string> = new Set([CONSUMER_OFFSETS, TRANSACTION_STATE])

/** Whether a topic belongs to the broker: clients may read it, and neither write to it nor change it. */
export function isInternalTopic(name: string): boolean {
  return NAMES.has(name)
}

/** The partition of an internal topic that keeps the state of a group or transactional id, as Kafka computes it. */
export function partitionOf(key: string, partitions: number): number {
  let hash = 0
  for (let index = 0; index < key.length; index++) hash = (Math.imul(hash, 31) + key.charCodeAt(index)) | 0
  return hash === -(2 ** 31) ? 0 : Math.abs(hash) % partitions
}

/** An internal topic, created when it is needed for the first time. */
export class InternalTopic {
  readonly #store: LogStore
  readonly #name: string
  #creation: Promise<Topic> | undefined

  constructor(store: LogStore, name: string) {
    this.#store = store
    this.#name = name
  }

  find(): Topic | undefined {
    return this.#store.topics.byName(this.#name)
  }

  /** How many it has, or will have. */
  get partitions(): number {
    return this.find()?.logs.length ?? PARTITIONS
  }

  /** Throws StorageError where it cannot be created. */
  findOrCreate(): Topic | Promise<Topic> {
    const topic = this.find()
    if (topic !== undefined) return topic
    this.#creation ??= this.#create().finally(() => {
      this.#creation = undefined
    })
    return this.#creation
  }

  async #create(): Promise<Topic> {
    try {
      return await this.#store.createTopic({
        name: this.#name,
        partitions: PARTITIONS,
        configs: { 'cleanup.policy': 'compact', 'compression.type': 'producer' },
      })
    } catch (error) {
      // Another broker over the same store was quicker.
      const topic = this.find()
      if (topic !== undefined && error instanceof StorageError && error.code === 'TOPIC_EXISTS') return topic
      throw error
    }
  }
}
