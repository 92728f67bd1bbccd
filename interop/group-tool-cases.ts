/** Kafka's own tools for groups. */
import type { InteropClient } from './client.ts'
import { contains, KafkaTools, matches, type ToolName } from './kafka-tools.ts'
import type { Ledger } from './ledger.ts'
import { TOOLS_NAME } from './tool-cases.ts'

const PARTITIONS = 2
const RECORDS = 1_000

/** A line of `kafka-consumer-groups --describe`. */
interface PartitionLine {
  committed: string
  end: string
  lag: string
  member: string
}

export class GroupToolCases {
  readonly #ledger: Ledger
  readonly #tools: KafkaTools
  readonly #sender: InteropClient
  readonly #topic: string
  readonly #group: string

  constructor(ledger: Ledger, bootstrap: string, run: string, sender: InteropClient) {
    this.#ledger = ledger
    this.#tools = new KafkaTools(bootstrap)
    this.#sender = sender
    this.#topic = `${run}-tools-groups`
    this.#group = `${this.#topic}-console`
  }

  async all(): Promise<void> {
    await this.#sender.createTopic(this.#topic, PARTITIONS)
    await this.#sender.produce({
      topic: this.#topic,
      set: {
        seed: this.#topic,
        shape: 'mixed',
        headers: 'none',
        partitions: PARTITIONS,
        baseTimestampMs: Date.now(),
      },
      from: 0,
      to: RECORDS,
      codec: 'none',
      idempotent: true,
    })
    await Promise.all([
      this.#ofAnEmptyGroup(),
      this.#ofALivingGroup('classic'),
      this.#ofALivingGroup('consumer'),
    ])
  }

  async #ofAnEmptyGroup(): Promise<void> {
    const group = ['--group', this.#group]
    await this.#case('kafka-console-consumer --group', async () => {
      await this.#consumeAll()
    })
    await this.#case('kafka-consumer-groups --list --state', async () => {
      const { stdout } = await this.#groups(['--list', '--state'])
      matches(stdout, new RegExp(`^${this.#group}\\s.*Empty`, 'm'))
    })
    await this.#case('kafka-consumer-groups --describe: committed, end and lag', async () => {
      for (const line of await this.#describe(this.#group)) {
        if (line.committed !== line.end || line.lag !== '0') throw new Error(JSON.stringify(line))
      }
    })
    await this.#case('kafka-consumer-groups --reset-offsets --dry-run changes nothing', async () => {
      const { stdout } = await this.#groups([...this.#reset(['--to-earliest']), '--dry-run'])
      matches(stdout, new RegExp(`${this.#topic}\\s+1\\s+0\\s*$`, 'm'))
      for (const line of await this.#describe(this.#group)) {
        if (line.lag !== '0') throw new Error(`it has a lag now: ${JSON.stringify(line)}`)
      }
    })
    await this.#case('kafka-consumer-groups --reset-offsets --to-earliest --execute', async () => {
      await this.#groups([...this.#reset(['--to-earliest']), '--execute'])
      for (const line of await this.#describe(this.#group)) {
        if (line.committed !== '0' || line.lag !== line.end) throw new Error(JSON.stringify(line))
      }
      await this.#consumeAll()
    })
    await this.#case('kafka-consumer-groups --reset-offsets --shift-by -10 --execute', async () => {
      await this.#groups([...this.#reset(['--shift-by', '-10']), '--execute'])
      for (const line of await this.#describe(this.#group)) {
        if (line.lag !== '10') throw new Error(JSON.stringify(line))
      }
    })
    await this.#case('kafka-consumer-groups --delete-offsets', async () => {
      await this.#groups(['--delete-offsets', ...group, '--topic', `${this.#topic}:0`])
      const lines = await this.#describe(this.#group)
      if (lines.length !== 1) throw new Error(`${lines.length} partitions have an offset instead of 1`)
    })
    await this.#case('kafka-consumer-groups --delete', async () => {
      contains((await this.#groups(['--delete', ...group])).stdout, 'successful')
      const { stdout } = await this.#groups(['--list'])
      if (stdout.split('\n').includes(this.#group)) throw new Error('the group is still listed')
    })
  }

  async #ofALivingGroup(protocol: 'classic' | 'consumer'): Promise<void> {
    const group = `${this.#topic}-${protocol}`
    const title = protocol === 'classic' ? '' : ', group.protocol=consumer'
    const session = protocol === 'classic' ? ['--session-timeout', '8000'] : []
    const consumer = await this.#tools.start('kafka-verifiable-consumer', [
      ...['--topic', this.#topic, '--group-id', group, '--group-protocol', protocol, ...session],
      ...['--reset-policy', 'earliest'],
    ])
    try {
      await this.#case(`kafka-verifiable-consumer${title}`, async () => {
        const consumed = (lines: readonly string[]): number =>
          events(lines, 'records_consumed').reduce((sum, { count }) => sum + Number(count), 0)
        await consumer.until(`${RECORDS} records`, (lines) => consumed(lines) >= RECORDS)
        await consumer.until('commit', (lines) => events(lines, 'offsets_committed').length > 0)
        const failed = events(consumer.lines, 'offsets_committed').filter(({ success }) => success !== true)
        if (failed.length > 0) throw new Error(`a commit failed: ${JSON.stringify(failed[0])}`)
        if (consumed(consumer.lines) !== RECORDS) throw new Error(`${consumed(consumer.lines)} records`)
      })
      await this.#case(`kafka-consumer-groups --describe --members --verbose${title}`, async () => {
        const { stdout } = await this.#groups(['--describe', '--group', group, '--members', '--verbose'])
        matches(stdout, new RegExp(`^${group}\\s+\\S+\\s+/127\\.0\\.0\\.1\\s.*\\s${PARTITIONS}\\s`, 'm'))
        matches(stdout, new RegExp(`${this.#topic}[(:]0,1`))
      })
      await this.#case(`kafka-consumer-groups --describe --state${title}`, async () => {
        const { stdout } = await this.#groups(['--describe', '--group', group, '--state'])
        matches(
          stdout,
          new RegExp(
            `^${group}\\s.*\\s${protocol === 'classic' ? 'range' : 'uniform'}\\s+Stable\\s+.*1`,
            'm',
          ),
        )
      })
      await this.#case(
        `kafka-consumer-groups --reset-offsets refused while members live${title}`,
        async () => {
          const reset = [
            '--reset-offsets',
            '--group',
            group,
            '--topic',
            this.#topic,
            '--to-earliest',
            '--execute',
          ]
          const { stdout, stderr } = await this.#groups(reset, [0, 1])
          contains(stdout + stderr, 'inactive')
          for (const { lag, member } of await this.#describe(group)) {
            if (lag !== '0' || member === '-') throw new Error(`lag ${lag}, member ${member}`)
          }
        },
      )
    } finally {
      await this.#case(`kafka-verifiable-consumer leaves at SIGTERM${title}`, async () => {
        await consumer.end('SIGTERM')
        const { stdout } = await this.#groups(['--describe', '--group', group, '--state'])
        matches(stdout, new RegExp(`^${group}\\s.*\\sEmpty\\s`, 'm'))
      })
    }
  }

  async #consumeAll(): Promise<void> {
    const args = ['--topic', this.#topic, '--group', this.#group, '--from-beginning']
    const { stdout } = await this.#tools.run('kafka-console-consumer', [
      ...args,
      ...['--max-messages', String(RECORDS), '--timeout-ms', '20000'],
    ])
    const lines = stdout.trimEnd().split('\n').length
    if (lines !== RECORDS) throw new Error(`${lines} records instead of ${RECORDS}`)
  }

  #reset(to: readonly string[]): string[] {
    return ['--reset-offsets', '--group', this.#group, '--topic', this.#topic, ...to]
  }

  async #describe(group: string): Promise<PartitionLine[]> {
    const { stdout } = await this.#groups(['--describe', '--group', group])
    const lines = stdout
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((words) => words[0] === group && words[1] === this.#topic)
      // A newer column, the leader epoch of the commit, stands before the committed offset where there is one.
      .map((words) => ({
        committed: words.at(-6)!,
        end: words.at(-5)!,
        lag: words.at(-4)!,
        member: words.at(-3)!,
      }))
    if (lines.length === 0) throw new Error(`no partition of ${this.#topic} in: ${stdout}`)
    return lines
  }

  #groups(args: readonly string[], allowedExitCodes: readonly number[] = [0]) {
    return this.#tools.run('kafka-consumer-groups' satisfies ToolName, args, { allowedExitCodes })
  }

  async #case(name: string, body: () => Promise<void>): Promise<void> {
    await this.#ledger.run(TOOLS_NAME, name, body)
  }
}

function events(lines: readonly string[], name: string): Record<string, unknown>[] {
  return lines
    .filter((line) => line.startsWith('{') && line.includes(`"${name}"`))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter((event) => event.name === name)
}
