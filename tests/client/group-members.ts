import {
  connect,
  type GroupConsumer,
  type GroupConsumerOptions,
  type StreamBus,
  type TopicPartition,
} from '@streambus/client'

/** `topic/partition/offset` */
export type Place = string

/**
 * Watches over the members of a group as they report what they do: no partition may have two owners at once.
 */
export class GroupWatch {
  readonly processed: Place[] = []
  readonly violations: string[] = []
  readonly #owners = new Map<string, string>()
  #waiters: { isMet: () => boolean; resolve: () => void }[] = []

  /** How many partitions each member owns. */
  get shares(): Record<string, number> {
    const shares: Record<string, number> = {}
    for (const owner of this.#owners.values()) shares[owner] = (shares[owner] ?? 0) + 1
    return shares
  }

  process(place: Place): void {
    this.processed.push(place)
    this.#check()
  }

  assigned(member: string, partitions: readonly TopicPartition[]): void {
    for (const { topic, partition } of partitions) {
      const key = `${topic}/${partition}`
      const owner = this.#owners.get(key)
      if (owner !== undefined) this.violations.push(`${key} went to ${member} while ${owner} had it`)
      this.#owners.set(key, member)
    }
    this.#check()
  }

  revoked(member: string, partitions: readonly TopicPartition[]): void {
    for (const { topic, partition } of partitions) {
      const key = `${topic}/${partition}`
      if (this.#owners.get(key) === member) this.#owners.delete(key)
    }
    this.#check()
  }

  /** Resolves when the condition holds after something that was reported. */
  until(isMet: () => boolean): Promise<void> {
    if (isMet()) return Promise.resolve()
    return new Promise((resolve) => this.#waiters.push({ isMet, resolve }))
  }

  #check(): void {
    const met = this.#waiters.filter(({ isMet }) => isMet())
    this.#waiters = this.#waiters.filter((one) => !met.includes(one))
    for (const { resolve } of met) resolve()
  }
}

export interface RunningMember {
  readonly consumer: GroupConsumer
  /** Ends when the member was closed; rejects with what its iteration throws. */
  readonly done: Promise<void>
}

/** Reads as a member until it is closed, and reports to the watch. */
export function runMember(
  bus: StreamBus,
  topic: string,
  name: string,
  watch: GroupWatch,
  options: GroupConsumerOptions,
): RunningMember {
  const quick = options.groupProtocol === 'consumer' ? options : { heartbeatIntervalMs: 50, ...options }
  const consumer = bus.consumer(topic, {
    autoCommitIntervalMs: 20,
    ...quick,
    onAssigned: (partitions) => watch.assigned(name, partitions),
    onRevoked: (partitions) => watch.revoked(name, partitions),
  })
  const read = async () => {
    for await (const { partition, offset } of consumer) {
      watch.process(`${topic}/${partition}/${offset}`)
      // A turn of the event loop, so that members of one process take turns.
      if (offset % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
  }
  return { consumer, done: read() }
}

/** A client of its own, as another process would have it. */
export async function withClients<T>(
  address: string,
  count: number,
  run: (clients: StreamBus[]) => Promise<T>,
): Promise<T> {
  const clients = await Promise.all(Array.from({ length: count }, () => connect(address)))
  try {
    return await run(clients)
  } finally {
    await Promise.all(clients.map((client) => client.close()))
  }
}
