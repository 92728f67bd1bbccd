/** A compacted topic: a table that Java writes and reads, while the broker is killed in the middle of compaction. */
import { setTimeout as sleep } from 'node:timers/promises'
import { runCommand } from '../peers/command.ts'
import { javaProgram } from './java-programs.ts'
import { KafkaTools } from './kafka-tools.ts'
import type { Ledger } from './ledger.ts'
import type { Target } from './target.ts'

export const COMPACTION_NAME = 'Java kafka-clients'
const UPDATES = 1_000_000
const KEYS = 10_000
const HEAP_MIB = 512
const TIMEOUT_MS = 120_000
const POLL_MS = 1_000
/** Compaction begins within so long of the last update, see log.cleaner.backoff.ms. */
const LATEST_KILL_MS = 1_500
const KILLS = 3
/** The last value of each key, the tombstones, and what compaction has not come to. */
const MOST_RECORDS = 3 * KEYS

const configs = {
  'cleanup.policy': 'compact',
  'min.cleanable.dirty.ratio': '0.01',
  'segment.bytes': '1048576',
  'segment.ms': '1000',
} as const

export async function runCompactionCases(target: Target, ledger: Ledger, run: string): Promise<void> {
  const topic = `${run}-table`
  await ledger.run(
    COMPACTION_NAME,
    `${UPDATES.toLocaleString('en-US')} updates of ${KEYS.toLocaleString('en-US')} keys, the broker killed ${KILLS} times in the middle of compaction: the table is the same`,
    async () => {
      await new KafkaTools(target.bootstrap).run('kafka-topics', [
        '--create',
        '--topic',
        topic,
        ...Object.entries(configs).flatMap(([name, value]) => ['--config', `${name}=${value}`]),
      ])
      await table(target, 'write', topic)
      for (let kill = 0; kill < KILLS; kill++) {
        await sleep(Math.random() * LATEST_KILL_MS)
        await target.kill9()
        await target.restart()
        check(await table(target, 'read', topic))
      }
      const deadlineMs = performance.now() + TIMEOUT_MS
      for (;;) {
        const records = check(await table(target, 'read', topic))
        if (records <= MOST_RECORDS) return `${records.toLocaleString('en-US')} records are left`
        if (performance.now() > deadlineMs) throw new Error(`${records} records are left`)
        await sleep(POLL_MS)
      }
    },
  )
}

async function table(target: Target, what: 'write' | 'read', topic: string): Promise<string> {
  const args = [what, target.bootstrap, topic, String(UPDATES), String(KEYS)]
  const { command, args: all } = await javaProgram('clients', 'Table', args, HEAP_MIB)
  const { stdout } = await runCommand(command, all, { name: `Table ${what}`, timeoutMs: TIMEOUT_MS })
  return stdout
}

function check(output: string): number {
  const found = /^(\d+) records, (equal|different)$/m.exec(output)
  if (found === null) throw new Error(`unexpected: ${output}`)
  if (found[2] !== 'equal') throw new Error('the table is not that of the updates')
  return Number(found[1])
}
