/** Transactions of every client that has them: what was committed is seen, what was aborted is not. */
import { runCommand } from '../peers/command.ts'
import { ensureProgram } from '../peers/debian.ts'
import type { InteropClient } from './client.ts'
import type { Ledger } from './ledger.ts'
import type { Target } from './target.ts'

const RECORDS = 100
const TRANSACTION_TIMEOUT_MS = 20_000
const outcomes = ['commit', 'abort', 'commit', 'abort', 'commit'] as const

export async function runTransactionCases(
  target: Target,
  ledger: Ledger,
  clients: readonly InteropClient[],
  run: string,
  sender: InteropClient,
): Promise<void> {
  await ensureProgram('kcat', 'kcat')
  await Promise.all(
    clients.map((client) =>
      ledger.run(
        client.name,
        'transactions: only the committed ones are seen with read_committed',
        async () => {
          const topic = `${run}-${client.name.replace(/[^a-zA-Z]+/g, '')}-transactions`
          await sender.createTopic(topic, 1)
          let from = 0
          for (const outcome of outcomes) {
            const to = from + RECORDS
            await client.transact!({ topic, id: topic, from, to, outcome, timeoutMs: TRANSACTION_TIMEOUT_MS })
            from = to
          }
          const expected: string[] = []
          for (let index = 0; index < from; index++) {
            if (outcomes[Math.floor(index / RECORDS)] === 'commit') expected.push(`commit ${index}`)
          }
          const committed = await read(target, topic, 'read_committed')
          const wrong = expected.findIndex((value, index) => committed[index] !== value)
          if (wrong !== -1 || committed.length !== expected.length) {
            throw new Error(
              `${committed.length} of ${expected.length}; record ${wrong} is ${committed[wrong]}`,
            )
          }
          const all = await read(target, topic, 'read_uncommitted')
          if (!all.some((value) => value.startsWith('abort')))
            throw new Error('nothing that was aborted was written')
        },
      ),
    ),
  )
}

async function read(target: Target, topic: string, isolation: string): Promise<string[]> {
  const args = ['-C', '-q', '-e', '-b', target.bootstrap, '-t', topic, '-o', 'beginning']
  const { stdout } = await runCommand('kcat', [...args, '-X', `isolation.level=${isolation}`, '-f', '%s\\n'])
  return stdout.trimEnd().split('\n')
}
