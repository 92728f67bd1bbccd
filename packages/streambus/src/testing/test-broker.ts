import assert from 'node:assert'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Broker, BrokerError, type BrokerOptions, SystemScheduler } from '@streambus/broker'
import {
  type ConnectOptions,
  type CreateTopicOptions,
  connect,
  type StreamBus,
  StreamBusError,
} from '@streambus/client'
import { ErrorCode, errorByCode } from '@streambus/protocol'
import { type LogStore, MemoryLogStore } from '@streambus/storage'
import { invalidArgument } from './arguments.ts'
import { eventually } from './eventually.ts'
import { FaultInjection, type Faults } from './faults.ts'
import { checkNames, checkOptionNames } from './option-names.ts'
import { type ProducedMessage, readToEnd } from './produced.ts'
import { type SnapshotOptions, snapshotOf, type TopicSnapshot } from './snapshot.ts'
import { VirtualClock } from './virtual-clock.ts'

/**
 * What `startTestBroker` takes: how the broker is started, and every limit and default a broker has
 * (`BrokerOptions`) other than where it listens and what it stands on.
 */
export interface TestBrokerOptions
  extends Omit<
    BrokerOptions,
    'host' | 'port' | 'advertise' | 'store' | 'keepStoreOpen' | 'clock' | 'scheduler' | 'interceptor'
  > {
  /** Keeps the data in a temporary folder, which is removed on `close`. Default: in memory. */
  onDisk?: boolean
  /** Keeps the data in this folder, which stays. */
  dataDir?: string
  /** `virtual`: time stands still until `broker.clock.advance`. Default: the time of the process. */
  clock?: 'virtual'
}

/** What the helpers of a test broker call themselves; no fault concerns them. */
const OWN_CLIENT_ID = 'streambus-testing'
/** Clients of a test come back soon. */
const FAST_CLIENT: ConnectOptions = { retryBackoffMs: 10, maxRetryBackoffMs: 100 }
/** Somebody else may have the port of a broker that is down for a moment: a connection on its way out. */
const BIND_ATTEMPTS = 20
const BIND_PAUSE_MS = 50

/**
 * Starts a broker for a test: a real one, on a free port of 127.0.0.1, with what it needs to be quick. Nothing is
 * shared between brokers, and nothing of one remains after `close`.
 *
 *     await using broker = await startTestBroker()
 *     const bus = await broker.connect()
 *     await bus.producer().send('orders', { id: 42 })
 *     const [order] = await broker.produced('orders')
 *
 * Groups do not wait for members that may still come, and a transaction past its timeout is aborted within half a
 * second; on disk, an acknowledged message is with the operating system. Options that say otherwise win.
 *
 * Rejects as `Broker.start` does, and with INVALID_ARGUMENT where options contradict each other or have an unknown name.
 */
export async function startTestBroker(options: TestBrokerOptions = {}): Promise<TestBroker> {
  checkOptionNames(options)
  const { onDisk = false, dataDir, clock: time, ...brokerOptions } = options
  if (onDisk && dataDir !== undefined) {
    throw invalidArgument('onDisk is for a temporary folder: give either it or dataDir.')
  }
  if (time !== undefined && time !== 'virtual') {
    throw invalidArgument(`clock can only be 'virtual', not ${String(time)}.`)
  }
  const clock = time === 'virtual' ? new VirtualClock() : undefined
  const scheduler = () => clock?.scheduler() ?? new SystemScheduler(Date.now)
  const faults = new FaultInjection(scheduler(), OWN_CLIENT_ID)
  const temporary = onDisk ? await mkdtemp(join(tmpdir(), 'streambus-test-')) : undefined
  const folder = dataDir ?? temporary
  const store =
    folder === undefined
      ? await MemoryLogStore.open(clock === undefined ? {} : { clock: () => clock.nowMs() })
      : undefined
  const start = (port: number) =>
    Broker.start({
      durability: 'os',
      cacheBytes: 4 * 1024 * 1024,
      shutdownTimeoutMs: 1_000,
      ...brokerOptions,
      groups: { initialRebalanceDelayMs: 0, minSessionTimeoutMs: 1, ...brokerOptions.groups },
      transactions: {
        // A virtual day has 8,640 looks at the default; it is as quick as it is advanced.
        ...(clock === undefined ? { abortTimedOutIntervalMs: 500 } : {}),
        ...brokerOptions.transactions,
      },
      host: '127.0.0.1',
      port,
      ...(folder === undefined ? {} : { dataDir: folder }),
      ...(store === undefined ? {} : { store, keepStoreOpen: true }),
      scheduler: scheduler(),
      interceptor: faults.interceptor,
    })
  const removeFolder = async () => {
    if (temporary !== undefined) await rm(temporary, { recursive: true, force: true })
  }
  try {
    return new TestBroker({ broker: await start(0), start, clock, faults, store, removeFolder })
  } catch (error) {
    await removeFolder()
    throw error
  }
}

interface TestBrokerParts {
  readonly broker: Broker
  readonly start: (port: number) => Promise<Broker>
  readonly clock: VirtualClock | undefined
  readonly faults: FaultInjection
  /** Outlives restarts; undefined on disk. */
  readonly store: LogStore | undefined
  readonly removeFolder: () => Promise<void>
}

/** A broker in a test: see `startTestBroker`. */
export class TestBroker {
  readonly #parts: TestBrokerParts
  readonly #faults: FaultInjection
  readonly #clients = new Set<StreamBus>()
  #broker: Broker
  #own: Promise<StreamBus> | undefined
  #restarting: Promise<void> = Promise.resolve()
  #closing: Promise<void> | undefined

  constructor(parts: TestBrokerParts) {
    this.#parts = parts
    this.#faults = parts.faults
    this.#broker = parts.broker
  }

  /** What clients connect to, of whatever make: 'host:port'. */
  get address(): string {
    return this.#broker.address
  }

  get host(): string {
    return this.#broker.host
  }

  get port(): number {
    return this.#broker.port
  }

  /** Its time. Throws INVALID_ARGUMENT where that is the time of the process. */
  get clock(): VirtualClock {
    if (this.#parts.clock !== undefined) return this.#parts.clock
    throw invalidArgument("This broker goes by the time of the process: start it with { clock: 'virtual' }.")
  }

  get faults(): Faults {
    return this.#faults
  }

  /** A client of it, which is closed with it. Tries again sooner than others do. */
  async connect(options: Omit<ConnectOptions, 'brokers'> = {}): Promise<StreamBus> {
    this.#assertOpen()
    // A client tries each address once: not while nobody listens there.
    await this.#restarting
    const bus = await connect({ ...FAST_CLIENT, ...options, brokers: this.address }).catch((error) => {
      this.#assertOpen()
      throw error
    })
    if (this.#closing !== undefined) await bus.close()
    this.#assertOpen()
    this.#clients.add(bus)
    return bus
  }

  /** Rejects with TOPIC_EXISTS, INVALID_TOPIC, INVALID_PARTITIONS or INVALID_CONFIG. */
  async createTopic(
    name: string,
    partitions = 1,
    options: Omit<CreateTopicOptions, 'partitions'> = {},
  ): Promise<void> {
    const { admin } = await this.#ownClient()
    await admin.createTopic(name, { ...options, partitions })
  }

  /**
   * Every message that the topic holds at this moment, by partition and offset, also those of transactions that
   * are not committed. Rejects with UNKNOWN_TOPIC.
   */
  async produced(topic: string): Promise<readonly ProducedMessage[]> {
    return (await readToEnd(await this.#ownClient(), topic)).messages
  }

  /**
   * The same as plain data for a snapshot test: no times unless they are asked for, no stacks of dead letters, JSON
   * read, partitions as lists. Rejects with UNKNOWN_TOPIC.
   */
  async snapshot(topic: string, options: SnapshotOptions = {}): Promise<TopicSnapshot> {
    checkNames('snapshot', options, ['timestamps'])
    return snapshotOf(topic, await readToEnd(await this.#ownClient(), topic), options)
  }

  /**
   * Makes the members of a group share out their partitions anew, and resolves when that is done. Members take
   * part with their next heartbeat: one that sends none within `timeoutMs` (default 30,000) makes it reject with
   * an AssertionError. Rejects with UNKNOWN_GROUP where the group has no members.
   */
  async forceRebalance(group: string, options: { timeoutMs?: number } = {}): Promise<void> {
    checkNames('forceRebalance', options, ['timeoutMs'])
    const { timeoutMs = 30_000 } = options
    const { admin } = await this.#ownClient()
    const errorCode = await this.#broker.rebalanceGroup(group)
    if (errorCode === ErrorCode.GROUP_ID_NOT_FOUND) {
      throw new StreamBusError('UNKNOWN_GROUP', `Group '${group}' has no members that could rebalance.`)
    }
    if (errorCode !== ErrorCode.NONE) {
      const { name, message } = errorByCode(errorCode)
      throw new StreamBusError('BROKER_ERROR', `Group '${group}' cannot rebalance: ${message}`, {
        brokerError: name,
      })
    }
    const hasCompleted = async () => {
      const { state } = await admin.describeGroup(group)
      assert(
        state === 'Stable' || state === 'Empty',
        `Group '${group}' has not rebalanced yet: it is ${state}.`,
      )
    }
    await eventually(hasCompleted, { timeoutMs })
  }

  /**
   * Stops the broker and starts it again on the same address with the same data. Its clients find it again, faults
   * stay in force, and a virtual clock goes on.
   *
   * With `kill` nobody is answered any more: every connection is cut at once, and what was being asked may or may
   * not have been done. Data on disk is closed in order all the same.
   */
  async restart(options: { kill?: boolean } = {}): Promise<void> {
    checkNames('restart', options, ['kill'])
    const { kill = false } = options
    this.#assertOpen()
    const restarted = this.#restarting.then(() => this.#restart(kill))
    this.#restarting = restarted.catch(() => undefined)
    await restarted
  }

  /**
   * Ends all faults, closes the clients that it made, then itself, and removes the temporary folder. Rejects, when
   * that is done, where a client could not commit or deliver what it held.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #restart(kill: boolean): Promise<void> {
    const { port } = this.#broker
    // In one turn of the event loop with the close, so that nobody comes back in between.
    if (kill) this.#faults.cutOff()
    else this.#faults.release()
    await this.#broker.close()
    for (let attempt = 1; ; attempt++) {
      try {
        this.#broker = await this.#parts.start(port)
        return
      } catch (error) {
        const isTaken = error instanceof BrokerError && error.code === 'PORT_IN_USE'
        if (!isTaken || attempt === BIND_ATTEMPTS) throw error
        await sleep(BIND_PAUSE_MS)
      }
    }
  }

  async #close(): Promise<void> {
    await this.#restarting
    this.#faults.close()
    const closed = await Promise.allSettled([...this.#clients].map((client) => client.close()))
    this.#clients.clear()
    try {
      await this.#broker.close()
    } finally {
      await this.#parts.store?.close()
      await this.#parts.removeFolder()
    }
    const failed = closed.find((one) => one.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  /** A client that no fault concerns. */
  #ownClient(): Promise<StreamBus> {
    this.#assertOpen()
    this.#own ??= this.connect({ clientId: OWN_CLIENT_ID }).catch((error) => {
      this.#own = undefined
      throw error
    })
    return this.#own
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new StreamBusError('CLOSED', 'The test broker was closed.')
  }
}
