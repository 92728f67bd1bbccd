/** Kafka's own tools for transactions. */
import { runCommand } from '../peers/command.ts'
import { ensureProgram } from '../peers/debian.ts'
import type { InteropClient } from './client.ts'
import { contains, KafkaTools, matches } from './kafka-tools.ts'
import type { Ledger } from './ledger.ts'
import { TOOLS_NAME } from './tool-cases.ts'

const RECORDS = 1_000
const TRANSACTION_TIMEOUT_MS = 60_000

export class TransactionToolCases {
  readonly #ledger: Ledger
  readonly #bootstrap: string
  readonly #tools: KafkaTools
  readonly #sender: InteropClient
  readonly #run: string

  constructor(ledger: Ledger, bootstrap: string, run: string, sender: InteropClient) {
    this.#ledger = ledger
    this.#bootstrap = bootstrap
    this.#tools = new KafkaTools(bootstrap)
    this.#sender = sender
    this.#run = `${run}-tools-transactions`
  }

  async all(): Promise<void> {
    await ensureProgram('kcat', 'kcat')
    await Promise.all([this.#ofAnOpenTransaction(), this.#copier()])
  }

  /** Another program leaves a transaction open. */
  async #ofAnOpenTransaction(): Promise<void> {
    const topic = `${this.#run}-open`
    const id = `${topic}-id`
    await this.#sender.createTopic(topic, 1)
    let startOffset = '0'
    await this.#case('kafka-transactions list', async () => {
      const timeoutMs = TRANSACTION_TIMEOUT_MS
      await this.#sender.transact!({ topic, id, from: 0, to: 2, outcome: 'open', timeoutMs })
      const { stdout } = await this.#transactions(['list'])
      matches(stdout, new RegExp(`^${id}\\s+\\d+\\s+\\d+\\s+Ongoing\\s*$`, 'm'))
    })
    await this.#case('kafka-transactions describe', async () => {
      const { stdout } = await this.#transactions(['describe', '--transactional-id', id])
      matches(stdout, /Ongoing\s+60000\s/)
      contains(stdout, `${topic}-0`)
    })
    await this.#case('kafka-transactions describe-producers', async () => {
      const { stdout } = await this.#transactions([
        'describe-producers',
        '--topic',
        topic,
        '--partition',
        '0',
      ])
      startOffset = matches(stdout, /^\d+\s+\d+\s+-?\d+\s+\d+\s+\d+\s+(\d+)\s*$/m)[1]!
    })
    await this.#case('kafka-transactions find-hanging finds none', async () => {
      const { stdout } = await this.#transactions(['find-hanging', '--topic', topic, '--partition', '0'])
      if (stdout.includes(id)) throw new Error(`it takes an open transaction for a hanging one: ${stdout}`)
    })
    await this.#case('kafka-transactions abort', async () => {
      await this.#transactions(['abort', '--topic', topic, '--partition', '0', '--start-offset', startOffset])
      const { stdout } = await this.#transactions([
        'describe-producers',
        '--topic',
        topic,
        '--partition',
        '0',
      ])
      matches(stdout, /^\d+\s+\d+\s+-?\d+\s+\d+\s+-?\d+\s+None\s*$/m)
    })
    await this.#case('kafka-transactions forceTerminateTransaction', async () => {
      await this.#transactions(['forceTerminateTransaction', '--transactionalId', id])
      const { stdout } = await this.#transactions(['describe', '--transactional-id', id])
      // What it ended is over, and the transactional id is as one that has just been initialized.
      matches(stdout, new RegExp(`${id}\\s+\\d+\\s+\\d+\\s+(Empty|CompleteAbort)\\s`))
    })
    await this.#case(
      'kafka-console-consumer --isolation-level read_committed passes what was aborted',
      async () => {
        const last = { topic, id: `${topic}-last`, from: 2, to: 3, timeoutMs: TRANSACTION_TIMEOUT_MS }
        await this.#sender.transact!({ ...last, outcome: 'commit' })
        const { stdout } = await this.#tools.run('kafka-console-consumer', [
          ...[
            '--topic',
            topic,
            '--partition',
            '0',
            '--offset',
            'earliest',
            '--isolation-level',
            'read_committed',
          ],
          ...['--max-messages', '1', '--timeout-ms', '20000'],
        ])
        if (stdout.trim() !== 'commit 2') throw new Error(`it saw ${stdout}`)
      },
    )
  }

  async #copier(): Promise<void> {
    const input = `${this.#run}-input`
    const output = `${this.#run}-output`
    await this.#sender.createTopic(input, 1)
    await this.#sender.createTopic(output, 1)
    const set = {
      seed: input,
      shape: 'one-byte',
      headers: 'none',
      partitions: 1,
      baseTimestampMs: Date.now(),
    } as const
    await this.#sender.produce({ topic: input, set, from: 0, to: RECORDS, codec: 'none', idempotent: true })
    await this.#case('TransactionalMessageCopier with random aborts', async () => {
      const { stdout } = await this.#tools.run('TransactionalMessageCopier', [
        ...['--input-topic', input, '--input-partition', '0', '--output-topic', output],
        ...['--consumer-group', `${input}-group`, '--transactional-id', `${input}-id`],
        ...['--transaction-size', '50', '--enable-random-aborts', '--use-group-metadata', '--group-mode'],
      ])
      matches(stdout, /"stage":"ShutdownComplete"|"shutdown_complete"/)
      const [original, copy] = await Promise.all([this.#keys(input), this.#keys(output)])
      if (original.length !== RECORDS) throw new Error(`the original has ${original.length} records`)
      const wrong = original.findIndex((key, index) => copy[index] !== key)
      if (wrong !== -1 || copy.length !== RECORDS) {
        throw new Error(`${copy.length} records; record ${wrong} is ${copy[wrong]}, not ${original[wrong]}`)
      }
    })
  }

  async #keys(topic: string): Promise<string[]> {
    const args = ['-C', '-q', '-e', '-b', this.#bootstrap, '-t', topic, '-o', 'beginning']
    const { stdout } = await runCommand('kcat', [
      ...args,
      '-X',
      'isolation.level=read_committed',
      '-f',
      '%k\\n',
    ])
    return stdout.trimEnd().split('\n')
  }

  #transactions(args: readonly string[]) {
    return this.#tools.run('kafka-transactions', args)
  }

  async #case(name: string, body: () => Promise<void>): Promise<void> {
    await this.#ledger.run(TOOLS_NAME, name, body)
  }
}
