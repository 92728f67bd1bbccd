import { Cluster } from '../cluster.ts'
import { Coordinators } from '../groups/coordinators.ts'
import { clientSettings } from '../options.ts'
import { type ClientOverrides, connectOptions, type KafkaConfig } from './configuration.ts'
import { KafkaJSError } from './errors.ts'
import type { Logger } from './logger.ts'
import { translated } from './retry.ts'

/** The cluster as one producer, consumer or admin sees it. */
export interface Connected {
  readonly cluster: Cluster
  readonly coordinators: Coordinators
}

/** Connects and disconnects, as often as a program likes: each producer, consumer and admin has connections of its own. */
export class KafkaConnection {
  readonly overrides: ClientOverrides
  readonly #config: KafkaConfig
  readonly #logger: Logger
  #connecting: Promise<Connected> | undefined

  constructor(config: KafkaConfig, overrides: ClientOverrides, logger: Logger) {
    this.#config = config
    this.overrides = overrides
    this.#logger = logger
  }

  /** Rejects, when retries are over, with KafkaJSNumberOfRetriesExceeded around a KafkaJSConnectionError. */
  async connect(): Promise<Connected> {
    this.#connecting ??= this.#connect()
    const connecting = this.#connecting
    try {
      return await connecting
    } catch (error) {
      if (this.#connecting === connecting) this.#connecting = undefined
      throw error
    }
  }

  /** Rejects where nobody has connected. */
  get connected(): Promise<Connected> {
    if (this.#connecting !== undefined) return this.#connecting
    return Promise.reject(new KafkaJSError('Not connected: call connect() first'))
  }

  async disconnect(): Promise<void> {
    const connecting = this.#connecting
    this.#connecting = undefined
    const [connected] = await Promise.allSettled([connecting])
    if (connected.status === 'fulfilled') connected.value?.cluster.close()
  }

  async #connect(): Promise<Connected> {
    const { retry } = this.overrides
    const options = await connectOptions(this.#config, this.overrides, this.#logger)
    return await translated(this.#open(clientSettings(options)), retry)
  }

  async #open(settings: ReturnType<typeof clientSettings>): Promise<Connected> {
    const cluster = new Cluster(settings)
    try {
      await cluster.retrying(() => cluster.connect())
    } catch (error) {
      cluster.close()
      throw error
    }
    return { cluster, coordinators: new Coordinators(cluster) }
  }
}
