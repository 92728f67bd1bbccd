/** One broker, one network in front of it, and everybody who writes, handles, processes and reads through it. */
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from '@streambus/client'
import { FlakyProxy } from '../client/flaky-proxy.ts'
import { BrokerUnderTest } from '../crash/broker-under-test.ts'
import { Random } from '../crash/random.ts'
import { ClientLog } from './client-log.ts'
import { type GroupSpec, Pace, type Participant, type Place, readAlong } from './handlers.ts'
import { KeySequences } from './key-sequences.ts'
import { connectOptions, Load } from './load.ts'
import { Participants } from './participants.ts'
import { type Lane, ProgressWatch } from './progress-watch.ts'
import { KEYS, PARTITIONS, STALL_BOUND_MS, timeouts } from './settings.ts'
import { pickTrouble } from './troubles.ts'

const INPUT = 'input'
const OUTPUT = 'output'
const TROUBLES_PER_ROUND = 8
const PAUSE_MS = { least: 50, most: 1_500 }
/** The watch tells of a stall by then; this is for what makes progress and never comes to its end. */
const END_TIMEOUT_MS = 4 * STALL_BOUND_MS
const POLL_MS = 50

const groups: readonly GroupSpec[] = [
  { topic: INPUT, group: 'eager', assignor: 'range', order: 'partition' },
  { topic: INPUT, group: 'cooperative', assignor: 'cooperative-sticky', order: 'key' },
  { topic: INPUT, group: 'broker-assigned', assignor: undefined, order: 'partition' },
]
const PROCESSORS = 'processors'

export interface ChaosOptions {
  readonly dataDir: string
  readonly port: number
  /** Where the clients' log goes. */
  readonly logFile: string
  readonly seed: number
  readonly messagesPerSecond: number
  readonly stallBoundMs?: number
}

/** What happened to the messages everywhere, as plain data. */
export interface Places {
  readonly log: KeySequences
  readonly output: KeySequences
  /** By group. */
  readonly handled: ReadonlyMap<string, KeySequences>
}

export class ChaosRun {
  readonly watch: ProgressWatch
  readonly load: Load
  readonly places: Places
  readonly faults: string[] = []
  readonly participants: Participants
  rounds = 0
  troubles = 0
  readonly #broker: BrokerUnderTest
  readonly #proxy: FlakyProxy
  readonly #log: ClientLog
  readonly #random: Random
  readonly #pace: Pace
  #readers: Participant[] = []

  static async start(options: ChaosOptions): Promise<ChaosRun> {
    const proxy = await FlakyProxy.listen()
    const settings = {
      'transaction.abort.timed.out.transaction.cleanup.interval.ms': timeouts.abortTimedOutInterval,
      'group.consumer.heartbeat.interval.ms': timeouts.heartbeatInterval,
      'group.consumer.session.timeout.ms': timeouts.session,
    }
    const broker = new BrokerUnderTest({
      dataDir: options.dataDir,
      port: options.port,
      durability: 'fsync',
      args: [
        ...['--advertise', proxy.address],
        ...Object.entries(settings).flatMap(([name, value]) => ['--set', `${name}=${value}`]),
      ],
    })
    await broker.start()
    proxy.forwardTo('127.0.0.1', options.port)
    const log = new ClientLog(options.logFile)
    const bus = await connect(connectOptions(proxy.address, 'set-up', log))
    for (const topic of [INPUT, OUTPUT]) await bus.admin.createTopic(topic, { partitions: PARTITIONS })
    await bus.close()
    const watch = new ProgressWatch(options.stallBoundMs)
    const load = await Load.connect(proxy.address, log, INPUT, options.messagesPerSecond, watch)
    const run = new ChaosRun(options.seed, broker, proxy, log, watch, load)
    await run.#open()
    load.start()
    return run
  }

  private constructor(
    seed: number,
    broker: BrokerUnderTest,
    proxy: FlakyProxy,
    log: ClientLog,
    watch: ProgressWatch,
    load: Load,
  ) {
    this.#broker = broker
    this.#proxy = proxy
    this.#log = log
    this.#random = new Random(seed)
    this.#pace = new Pace(new Random(seed + 1))
    this.watch = watch
    this.load = load
    this.participants = new Participants(new Random(seed + 2))
    this.places = {
      log: new KeySequences('the log', false),
      output: new KeySequences('the output', false),
      handled: new Map(groups.map(({ group }) => [group, new KeySequences(group, true)])),
    }
  }

  /** Some troubles, then none until everything that was acknowledged has come everywhere. Returns what happened. */
  async round(): Promise<string> {
    this.rounds++
    const done: string[] = []
    for (let trouble = 0; trouble < TROUBLES_PER_ROUND; trouble++) {
      await this.watch.during(async () => {
        const surroundings = {
          broker: this.#broker,
          proxy: this.#proxy,
          pace: this.#pace,
          random: this.#random,
          change: () => this.participants.change(),
        }
        await this.#ends('a trouble', async () => {
          const trouble = await pickTrouble(this.#random)(surroundings)
          this.#log.note('TROUBLE', trouble)
          done.push(trouble)
        })
      })
      this.troubles++
      if (this.allFaults.length > 0) break
      await delay(this.#random.between(PAUSE_MS.least, PAUSE_MS.most))
    }
    await this.catchUp()
    return done.join(', ')
  }

  /** Resolves when everything that is acknowledged by now has come everywhere, or a fault says that it does not. */
  async catchUp(): Promise<void> {
    const ends = [...this.load.acknowledged]
    const deadlineMs = performance.now() + END_TIMEOUT_MS
    while (this.missing(ends).length > 0) {
      if (this.allFaults.length > 0) return
      if (performance.now() > deadlineMs) {
        this.faults.push(`not caught up after ${END_TIMEOUT_MS} ms: ${this.missing(ends)[0]}`)
        return
      }
      await delay(POLL_MS)
    }
  }

  /** What was acknowledged and has not come, everywhere. */
  missing(ends: readonly number[]): string[] {
    const { log, output, handled } = this.places
    return [log, output, ...handled.values()].flatMap((sequences) => sequences.missing(ends))
  }

  get allFaults(): string[] {
    const { log, output, handled } = this.places
    const ofPlaces = [log, output, ...handled.values()].flatMap(({ faults }) => faults)
    return [...this.faults, ...this.load.faults, ...this.watch.faults, ...ofPlaces]
  }

  /** Lets everything come to its end, and compares what the groups have committed with it. */
  async finish(): Promise<void> {
    await this.#ends('sending', () => this.load.stop())
    await this.catchUp()
    this.faults.push(...this.missing(this.load.acknowledged))
    await this.#ends('leaving', async () => {
      await this.participants.close()
      await Promise.all(this.#readers.map((reader) => reader.leave(true)))
    })
    const bus = await connect(connectOptions(this.#proxy.address, 'check', this.#log))
    try {
      for (const group of [...groups.map((one) => one.group), PROCESSORS]) {
        const offsets = await bus.admin.fetchOffsets(group)
        const committed = offsets.reduce((sum, { offset }) => sum + offset, 0)
        if (committed === this.load.sent) continue
        this.faults.push(`${group} has committed ${committed} of ${this.load.sent} messages`)
      }
    } finally {
      await bus.close()
    }
  }

  async close(): Promise<void> {
    this.watch.close()
    await this.load.close()
    await this.#proxy.close()
    await this.#broker.stop()
  }

  /** After a failure nothing ends in good order any more. */
  async abandon(): Promise<void> {
    this.watch.close()
    await this.#broker.kill9()
  }

  /** What does not come to its end is a fault, and is not waited for any longer. */
  async #ends(name: string, body: () => Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        this.faults.push(`${name} did not end within ${END_TIMEOUT_MS} ms`)
        resolve()
      }, END_TIMEOUT_MS)
    })
    await Promise.race([body(), late])
    clearTimeout(timer)
  }

  async #open(): Promise<void> {
    const { log, output, handled } = this.places
    for (const spec of groups) {
      await this.participants.addGroup(
        spec,
        this.#place(handled.get(spec.group)!, this.#lanesOf(handled.get(spec.group)!)),
      )
    }
    const lanes = this.#lanesOf(output)
    for (const transactionalId of ['worker 1', 'worker 2']) {
      const spec = { from: INPUT, to: OUTPUT, group: PROCESSORS, transactionalId }
      await this.participants.addWorker(spec, this.#place(output, lanes))
    }
    this.#readers = [
      await readAlong(INPUT, this.#place(log, this.#lanesOf(log))),
      await readAlong(OUTPUT, this.#place(output, lanes)),
    ]
  }

  #place(sequences: KeySequences, lanes: readonly Lane[]): Place {
    const { watch, faults } = this
    const log = this.#log
    return { brokers: this.#proxy.address, log, watch, lanes, sequences, pace: this.#pace, faults }
  }

  /** Input and output have as many partitions, and the same keys in each. */
  #lanesOf(sequences: KeySequences): Lane[] {
    const { acknowledged, partitions } = this.load
    return Array.from({ length: PARTITIONS }, (_, partition) =>
      this.watch.watch(`${sequences.name}, partition ${partition}`, () => {
        for (let key = 0; key < KEYS; key++) {
          if (partitions[key] === partition && !sequences.hasAll(key, acknowledged[key]!)) return true
        }
        return false
      }),
    )
  }
}
