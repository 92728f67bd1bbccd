/** What goes wrong in a chaos run, one trouble after the other. */
import { setTimeout as delay } from 'node:timers/promises'
import type { FlakyProxy } from '../client/flaky-proxy.ts'
import type { BrokerUnderTest } from '../crash/broker-under-test.ts'
import type { Random } from '../crash/random.ts'
import type { Pace } from './handlers.ts'

/** What troubles are made with. */
export interface Surroundings {
  readonly broker: BrokerUnderTest
  readonly proxy: FlakyProxy
  readonly pace: Pace
  readonly random: Random
  /** Somebody joins, leaves, or is replaced. */
  change(): Promise<string>
}

/** Resolves with what was done, when it is over. */
type Trouble = (surroundings: Surroundings) => Promise<string>

const sides = ['client', 'broker'] as const

async function cutAll({ proxy }: Surroundings): Promise<string> {
  proxy.cut()
  return 'cut'
}

async function cutSome({ proxy, random }: Surroundings): Promise<string> {
  proxy.cut(() => random.between(0, 1) === 0)
  return 'cut some'
}

/** Bytes are lost before the connection breaks: requests that were not heard, answers that did not come. */
async function lose({ proxy, random }: Surroundings): Promise<string> {
  const side = sides[random.between(0, 1)]!
  const ms = random.between(20, 800)
  proxy.loseTowards(side)
  await delay(ms)
  proxy.cut()
  proxy.passTowards(side)
  return `lost towards the ${side} for ${ms} ms`
}

/** Short of, and beyond, the timeouts of requests and sessions. */
async function hold({ proxy, random }: Surroundings): Promise<string> {
  const chosen = random.between(0, 2)
  const held = chosen === 2 ? sides : [sides[chosen]!]
  const ms = random.between(0, 3) === 0 ? random.between(3_000, 9_000) : random.between(50, 3_000)
  for (const side of held) proxy.holdTowards(side)
  await delay(ms)
  for (const side of held) proxy.passTowards(side)
  return `held towards the ${held.join(' and the ')} for ${ms} ms`
}

async function refuse({ proxy, random }: Surroundings): Promise<string> {
  const ms = random.between(50, 3_000)
  proxy.refusing = true
  proxy.cut()
  await delay(ms)
  proxy.refusing = false
  return `refused for ${ms} ms`
}

async function restart({ broker, random }: Surroundings): Promise<string> {
  await broker.stop()
  const ms = random.between(0, 1_500)
  await delay(ms)
  await broker.start()
  return `restarted after ${ms} ms`
}

async function kill({ broker, random }: Surroundings): Promise<string> {
  await broker.kill9()
  const ms = random.between(0, 1_500)
  await delay(ms)
  await broker.start()
  return `killed, started after ${ms} ms`
}

async function slow({ pace, random }: Surroundings): Promise<string> {
  const ms = random.between(500, 4_000)
  pace.areAllSlow = true
  await delay(ms)
  pace.areAllSlow = false
  return `slow for ${ms} ms`
}

const change: Trouble = (surroundings) => surroundings.change()

/** Those that stand here more often happen more often. */
const troubles: readonly Trouble[] = [
  ...[cutAll, cutSome, lose, lose, hold, hold, refuse],
  ...[restart, kill, kill, slow, slow, change, change, change, change],
]

export function pickTrouble(random: Random): Trouble {
  return troubles[random.between(0, troubles.length - 1)]!
}
