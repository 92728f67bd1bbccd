/** Kafka Streams: words are counted exactly once although the application is killed in the middle. */
import { rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { runCommand } from '../peers/command.ts'
import { ensureProgram } from '../peers/debian.ts'
import { cacheDir } from '../peers/workspace.ts'
import type { InteropClient } from './client.ts'
import { Worker } from './exactly-once/worker.ts'
import { javaProgram } from './java-programs.ts'
import type { Ledger } from './ledger.ts'
import type { Target } from './target.ts'

export const STREAMS_NAME = 'Kafka Streams'
const LINES = 4_000
const WORDS_PER_LINE = 3
const VOCABULARY = 40
const INPUT_PARTITIONS = 3
const HEAP_MIB = 256
/** A member that died is missed after 8 s, its transaction is aborted after 10 s. */
const TIMEOUT_MS = 90_000
const POLL_MS = 500

export async function runStreamsCases(
  target: Target,
  ledger: Ledger,
  run: string,
  sender: InteropClient,
  logFile: string,
): Promise<void> {
  await ensureProgram('kcat', 'kcat')
  const input = `${run}-streams-input`
  const output = `${run}-streams-output`
  await sender.createTopic(input, INPUT_PARTITIONS)
  await sender.createTopic(output, 1)
  const state = `${cacheDir}/interop/streams-state-${run}`
  const args = [target.bootstrap, input, output, `${run}-word-count`, state]
  const application = new Worker(await javaProgram('streams', 'WordCount', args, HEAP_MIB), logFile)
  const name = 'word count with exactly_once_v2, killed -9 and restarted in the middle: right counts'
  try {
    await ledger.run(STREAMS_NAME, name, async () => {
      const half = LINES / 2
      await send(target, input, 0, half)
      await until(target, output, `counts before it is killed, see ${logFile}`, (counts) => counts.length > 0)
      await application.kill9()
      await send(target, input, half, LINES)
      const total = LINES * WORDS_PER_LINE
      const counts = await until(
        target,
        output,
        `${total} counts, see ${logFile}`,
        ({ length }) => length >= total,
      )
      check(counts)
    })
  } finally {
    await application.stop()
    await rm(state, { recursive: true, force: true })
  }
}

function lineAt(index: number): string {
  const words = [index * 7, index * 11 + 3, index * index].map((number) => `word${number % VOCABULARY}`)
  return words.join(' ')
}

async function send(target: Target, topic: string, from: number, to: number): Promise<void> {
  const lines = Array.from({ length: to - from }, (_, index) => `${lineAt(from + index)}\n`)
  await runCommand('kcat', ['-P', '-b', target.bootstrap, '-t', topic], { stdin: lines.join('') })
}

interface Count {
  word: string
  count: number
}

async function until(
  target: Target,
  topic: string,
  what: string,
  condition: (counts: readonly Count[]) => boolean,
): Promise<Count[]> {
  const deadline = performance.now() + TIMEOUT_MS
  for (;;) {
    const args = [
      '-C',
      '-q',
      '-e',
      '-o',
      'beginning',
      '-X',
      'isolation.level=read_committed',
      '-f',
      '%k %s\\n',
    ]
    const { stdout } = await runCommand('kcat', ['-b', target.bootstrap, '-t', topic, ...args])
    const counts = stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split(' '))
      .map(([word, count]) => ({ word: word!, count: Number(count) }))
    if (condition(counts)) return counts
    if (performance.now() > deadline) throw new Error(`${counts.length} counts, not ${what}`)
    await sleep(POLL_MS)
  }
}

/** Every word is counted 1, 2, 3, … up to how often it is in the lines. */
function check(counts: readonly Count[]): void {
  const found = new Map<string, number>()
  for (const { word, count } of counts) {
    const expected = (found.get(word) ?? 0) + 1
    if (count !== expected) throw new Error(`${word} was counted ${count} where ${expected} is next`)
    found.set(word, count)
  }
  const right = new Map<string, number>()
  for (let index = 0; index < LINES; index++) {
    for (const word of lineAt(index).split(' ')) right.set(word, (right.get(word) ?? 0) + 1)
  }
  for (const [word, count] of right) {
    if (found.get(word) !== count)
      throw new Error(`${word} was counted ${found.get(word)} times, not ${count}`)
  }
}
