/**
 * Which broker coordinates a group or a transactional id. The answer is kept until a broker says that it is
 * wrong, or cannot be reached.
 */
import { findCoordinator } from '@streambus/protocol'
import type { Cluster, RetryOptions } from '../cluster.ts'
import type { Connection } from '../connection.ts'
import { brokerError, isStreamBusError, StreamBusError } from '../errors.ts'

export type CoordinatorKind = 'group' | 'transaction'

const keyTypes: Readonly<Record<CoordinatorKind, number>> = { group: 0, transaction: 1 }
/** From this version on a request takes several keys. */
const severalKeysVersion = 4
/** What is remembered is bounded: an administrator may look at more groups than are worth keeping. */
const maxKnown = 10_000

export class Coordinators {
  readonly #cluster: Cluster
  readonly #known = new Map<string, number>()

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  /** The broker ids, one for each key; unknown ones are asked for in as few requests as the brokers can take. */
  async find(kind: CoordinatorKind, keys: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const found = new Map<string, number>()
    const unknown = new Set<string>()
    for (const key of keys) {
      const node = this.#known.get(`${kind} ${key}`)
      if (node === undefined) unknown.add(key)
      else found.set(key, node)
    }
    if (unknown.size === 0) return found
    for (const [key, node] of await this.#ask(kind, [...unknown])) {
      if (this.#known.size >= maxKnown) this.#known.clear()
      this.#known.set(`${kind} ${key}`, node)
      found.set(key, node)
    }
    return found
  }

  async connectionTo(kind: CoordinatorKind, key: string, lane: string): Promise<Connection> {
    const node = (await this.find(kind, [key])).get(key) as number
    const known = this.#cluster.info.brokers.some(({ id }) => id === node)
    if (!known) await this.#cluster.describe([])
    return await this.#cluster.connectionTo(node, lane)
  }

  forget(kind: CoordinatorKind, key: string): void {
    this.#known.delete(`${kind} ${key}`)
  }

  /**
   * Runs an operation with its coordinator, again and again while there is none, while it is not ready or while
   * it cannot be reached.
   */
  async retrying<T>(
    kind: CoordinatorKind,
    key: string,
    lane: string,
    operation: (connection: Connection) => Promise<T>,
    options: RetryOptions = {},
  ): Promise<T> {
    return await this.#cluster.retrying(async () => {
      try {
        return await operation(await this.connectionTo(kind, key, lane))
      } catch (error) {
        // One that is busy with the last transaction is the right one.
        if (isStreamBusError(error) && error.retriable && error.code !== 'TRANSACTION_BUSY') {
          this.forget(kind, key)
        }
        throw error
      }
    }, options)
  }

  async #ask(kind: CoordinatorKind, keys: readonly string[]): Promise<Map<string, number>> {
    const connection = await this.#cluster.controlConnection()
    const nodes = new Map<string, number>()
    const add = (key: string, node: number, errorCode: number, errorMessage: string | null) => {
      if (errorCode !== 0)
        throw brokerError(errorCode, `Cannot find the coordinator of ${kind} '${key}'`, errorMessage)
      nodes.set(key, node)
    }
    if ((connection.versionOf(findCoordinator) ?? 0) >= severalKeysVersion) {
      const answer = await connection.request(findCoordinator, {
        keyType: keyTypes[kind],
        coordinatorKeys: [...keys],
      })
      for (const one of answer.coordinators) add(one.key, one.nodeId, one.errorCode, one.errorMessage)
    } else {
      for (const key of keys) {
        const answer = await connection.request(findCoordinator, {
          key,
          ...(kind === 'group' ? {} : { keyType: keyTypes[kind] }),
        })
        add(key, answer.nodeId, answer.errorCode, answer.errorMessage)
      }
    }
    const missing = keys.find((key) => !nodes.has(key))
    if (missing !== undefined) {
      throw new StreamBusError(
        'PROTOCOL_ERROR',
        `The broker said nothing of the coordinator of '${missing}'.`,
      )
    }
    return nodes
  }
}
