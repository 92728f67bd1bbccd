/** Shows that the chaos test can fail: changes what happened, or lets a group stop, and expects it to be noticed. */
import { setTimeout as delay } from 'node:timers/promises'
import type { ChaosRun } from './chaos-run.ts'
import { KeySequences } from './key-sequences.ts'
import { KEYS } from './settings.ts'

const STALL_TIMEOUT_MS = 30_000

interface Damage {
  readonly name: string
  /** What a place was told; each message of one key, in order, from the first. */
  readonly numbers: (count: number) => number[]
  readonly mayRepeat: boolean
}

const key = 3
const inOrder = (count: number) => Array.from({ length: count }, (_, index) => key + index * KEYS)

const damages: readonly Damage[] = [
  { name: 'the last message is lost', mayRepeat: true, numbers: (count) => inOrder(count).slice(0, -1) },
  {
    name: 'a message in between is lost',
    mayRepeat: true,
    numbers: (count) => inOrder(count).filter((_, index) => index !== 2),
  },
  {
    name: 'two messages of a key are handled in the wrong order',
    mayRepeat: true,
    numbers: (count) => {
      const [first, second, ...rest] = inOrder(count)
      return [second!, first!, ...rest]
    },
  },
  {
    name: 'a message is put out twice',
    mayRepeat: false,
    numbers: (count) => [...inOrder(count), key],
  },
  {
    name: 'a message is put out that nobody sent',
    mayRepeat: false,
    numbers: (count) => [...inOrder(count), Number.NaN],
  },
]

/** @param run has its bound for stalls lowered, and is stopped by this */
export async function runSelfTest(run: ChaosRun): Promise<{ passed: number; failed: number }> {
  let passed = 0
  let failed = 0
  const judge = (name: string, isGood: boolean, text: string): void => {
    if (isGood) passed++
    else failed++
    process.stdout.write(`${isGood ? 'ok  ' : 'FAIL'} ${name}: ${text}\n`)
  }
  while (run.load.acknowledged[key]! < key + 6 * KEYS) await delay(50)
  await run.catchUp()
  judge('nothing is found where nothing is', run.allFaults.length === 0, run.allFaults[0] ?? 'none')
  const ends = [...run.load.acknowledged]
  const count = (ends[key]! - key) / KEYS
  const onlyThis = ends.map((end, index) => (index === key ? end : index))
  for (const { name, mayRepeat, numbers } of damages) {
    const sequences = new KeySequences('a place', mayRepeat)
    for (const number of numbers(count)) sequences.note(number)
    const faults = [...sequences.faults, ...sequences.missing(onlyThis)]
    judge(name, faults.length > 0, faults[0] ?? 'was not noticed')
  }
  run.participants.pauseGroup()
  const deadlineMs = performance.now() + STALL_TIMEOUT_MS
  while (run.watch.faults.length === 0 && performance.now() < deadlineMs) await delay(50)
  judge('a group stops', run.watch.faults.length > 0, run.watch.faults[0] ?? 'was not noticed')
  return { passed, failed }
}
