/** Those who handle messages: members of groups with `consume`, and workers with `process`. */
import { setTimeout as delay } from 'node:timers/promises'
import { type AssignorName, connect, type Message, type StreamBus } from '@streambus/client'
import type { Random } from '../crash/random.ts'
import type { ClientLog } from './client-log.ts'
import type { KeySequences } from './key-sequences.ts'
import { connectOptions } from './load.ts'
import type { Lane, ProgressWatch } from './progress-watch.ts'
import { SLOWEST_HANDLER_MS, timeouts } from './settings.ts'

const membership = {
  heartbeatIntervalMs: timeouts.heartbeatInterval,
  sessionTimeoutMs: timeouts.session,
  rebalanceTimeoutMs: timeouts.rebalance,
}

/** How slow handlers are: now and then one, or all of them. */
export class Pace {
  areAllSlow = false
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
  }

  async take(lane: Lane): Promise<void> {
    const isSlow = this.#random.between(1, this.areAllSlow ? 8 : 500) === 1
    // Most take no time: on a busy machine a timer takes long enough for a backlog to look like a standstill.
    const longestMs = isSlow ? SLOWEST_HANDLER_MS : this.#random.between(1, 20) === 1 ? 2 : 0
    const ms = this.#random.between(0, longestMs)
    lane.held++
    try {
      if (ms > 0) await delay(ms)
    } finally {
      lane.held--
    }
  }

  /** Whether a first attempt fails. */
  get fails(): boolean {
    return this.#random.between(1, 200) === 1
  }
}

export interface GroupSpec {
  readonly topic: string
  readonly group: string
  /** The assignor of the classic protocol; undefined for the consumer protocol (KIP-848), where the broker assigns. */
  readonly assignor: AssignorName | undefined
  readonly order: 'partition' | 'key'
}

/** Somebody with a client of its own, as another process would have it. */
export interface Participant {
  /** It handles nothing more, and stays. */
  pause(): void
  /** From here on it may find that another has its transactional id. */
  expectTakeover(): void
  /** In good order, or by closing the client under it. Resolves when it is gone. */
  leave(inGoodOrder: boolean): Promise<void>
}

/** Where messages are handled: who is told of it, and what is noted. */
export interface Place {
  readonly brokers: string
  readonly log: ClientLog
  readonly watch: ProgressWatch
  /** By partition. */
  readonly lanes: readonly Lane[]
  readonly sequences: KeySequences
  readonly pace: Pace
  readonly faults: string[]
}

export const numberOf = (message: Message): number => Number(message.text())

export async function joinGroup(spec: GroupSpec, place: Place): Promise<Participant> {
  const { topic, group, assignor, order } = spec
  const { watch, lanes, sequences, pace } = place
  const bus = await connect(connectOptions(place.brokers, group, place.log))
  const common = { group, rebalanceTimeoutMs: timeouts.rebalance, autoCommitIntervalMs: 200 }
  const consumer = bus.consumer(
    topic,
    assignor === undefined
      ? { ...common, groupProtocol: 'consumer' }
      : { ...common, ...membership, assignors: [assignor] },
  )
  const handle = async (message: Message, { attempt }: { attempt: number }) => {
    const lane = lanes[message.partition]!
    await pace.take(lane)
    if (attempt === 1 && pace.fails) throw new Error('the first attempt fails')
    sequences.note(numberOf(message))
    watch.progressed(lane)
  }
  const options = { concurrency: 4, order, retry: { attempts: 5, backoff: { initialMs: 5 } } }
  const done = consumer.consume(handle, options)
  return participant(bus, consumer, done, group, place)
}

export interface WorkerSpec {
  readonly from: string
  readonly to: string
  readonly group: string
  readonly transactionalId: string
}

/** What it puts out is noted by whoever reads the output. */
export async function startWorker(spec: WorkerSpec, place: Place): Promise<Participant> {
  const { lanes, pace } = place
  const bus = await connect(connectOptions(place.brokers, spec.transactionalId, place.log))
  const worker = bus.process(
    { ...spec, ...membership, transactionTimeoutMs: timeouts.transaction, maxTransactionMessages: 100 },
    async (message) => {
      await pace.take(lanes[message.partition]!)
      return { key: message.key, value: message.text() }
    },
  )
  return participant(bus, worker, worker.finished, spec.transactionalId, place)
}

/** Reads a topic without a group, from its beginning on, and notes what comes. */
export async function readAlong(topic: string, place: Place): Promise<Participant> {
  const { watch, lanes, sequences } = place
  const bus = await connect(connectOptions(place.brokers, `reader of ${topic}`, place.log))
  const consumer = bus.consumer(topic)
  const read = async () => {
    for await (const message of consumer) {
      sequences.note(numberOf(message))
      watch.progressed(lanes[message.partition]!)
    }
  }
  return participant(bus, consumer, read(), `the reader of ${topic}`, place)
}

function participant(
  bus: StreamBus,
  working: { close(): Promise<void>; pause?(): void },
  done: Promise<void>,
  name: string,
  { faults }: Place,
): Participant {
  let isLeaving = false
  let isTakenOver = false
  const ended = done.then(
    () => {
      if (!isLeaving) faults.push(`${name} ended by itself`)
    },
    (error: { code?: string; message: string }) => {
      const isExpected = error.code === 'PRODUCER_FENCED' ? isTakenOver : isLeaving && error.code === 'CLOSED'
      if (!isExpected) faults.push(`${name} failed: ${error.message}`)
    },
  )
  return {
    pause: () => working.pause?.(),
    expectTakeover() {
      isTakenOver = true
    },
    async leave(inGoodOrder) {
      isLeaving = true
      try {
        if (inGoodOrder) await working.close()
      } catch (error) {
        const { code, message } = error as { code?: string; message: string }
        // Where the network has its troubles, the last commit may fail: then messages come again.
        if (!(isTakenOver && code === 'PRODUCER_FENCED') && !isPassing(error))
          faults.push(`${name} cannot be closed: ${message}`)
      }
      await bus.close()
      await ended
    },
  }
}

function isPassing(error: unknown): boolean {
  return (error as { retriable?: boolean }).retriable === true
}
