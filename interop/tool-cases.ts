/** Kafka's own command-line tools. */
import { randomUUID } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import type { ToolOptions } from '../peers/kafka.ts'
import { contains, KafkaTools, matches, type ToolName } from './kafka-tools.ts'
import type { Ledger } from './ledger.ts'

export const TOOLS_NAME = 'Kafka command-line tools'
const LINES = 10_000
const PERFORMANCE_RECORDS = 50_000
/** What a topic stores, and in what codec it is sent: each type from another one. */
const STORED_AND_SENT = [
  ['zstd', 'gzip'],
  ['gzip', 'lz4'],
  ['lz4', 'snappy'],
  ['snappy', 'zstd'],
  ['uncompressed', 'zstd'],
  ['zstd', 'none'],
] as const
const REPEATING_LINES = 200
const REPEATING_BYTES = 500
/** Kafka looks for what is expired 30 seconds after its start for the first time. */
const RETENTION_TIMEOUT_MS = 60_000

export class ToolCases {
  readonly #ledger: Ledger
  readonly #tools: KafkaTools
  readonly #run: string

  constructor(ledger: Ledger, bootstrap: string, run: string) {
    this.#ledger = ledger
    this.#tools = new KafkaTools(bootstrap)
    this.#run = `${run}-tools`
  }

  /** `filled`: topics of other cases, with the records each partition must hold; none in a run of the tools alone. */
  async all(filled: readonly { topic: string; partition: number; records: number }[]): Promise<void> {
    await this.#topics()
    await this.#configs()
    await this.#compressionType()
    await this.#consoles()
    await this.#case('kafka-producer-perf-test', async () => {
      const topic = `${this.#run}-performance`
      const count = String(PERFORMANCE_RECORDS)
      const { stdout } = await this.#tool(
        'kafka-producer-perf-test',
        ['--topic', topic, '--num-records', count, '--record-size', '200', '--throughput', '-1'],
        { jvmOptions: [] },
      )
      contains(stdout, `${count} records sent`)
      await this.#checkEndOffsets([{ topic, partition: 0, records: PERFORMANCE_RECORDS }])
    })
    await this.#case('kafka-consumer-perf-test', async () => {
      const topic = `${this.#run}-performance`
      const args = [
        '--topic',
        topic,
        '--num-records',
        String(PERFORMANCE_RECORDS),
        '--group',
        `${topic}-group`,
      ]
      const { stdout } = await this.#tool('kafka-consumer-perf-test', args, { jvmOptions: [] })
      const fetched = stdout.trim().split('\n').at(-1)?.split(', ')[4]
      if (Number(fetched) !== PERFORMANCE_RECORDS) throw new Error(`it fetched ${fetched}: ${stdout}`)
    })
    await this.#case('kafka-verifiable-producer', () => this.#verifiableProducer())
    await this.#case('kafka-cluster cluster-id', async () => {
      const { stdout } = await this.#tool('kafka-cluster', ['cluster-id'])
      matches(stdout, /Cluster ID: [\w-]{22}\b/)
    })
    await this.#case('kafka-broker-api-versions', async () => {
      const { stdout } = await this.#tool('kafka-broker-api-versions', [])
      matches(stdout, /Produce\(0\): 0 to \d+ \[usable: \d+\]/)
    })
    await this.#case('kafka-log-dirs --describe', async () => {
      const { stdout } = await this.#tool('kafka-log-dirs', ['--describe'])
      matches(stdout, /"partition":"[\w.-]+-0","size":\d+/)
    })
    if (filled.length === 0) return
    await this.#case('kafka-get-offsets: the end of every topic of this run', () =>
      this.#checkEndOffsets(filled),
    )
  }

  async #topics(): Promise<void> {
    const topic = `${this.#run}-topics`
    const describe = async (): Promise<string> =>
      (await this.#tool('kafka-topics', ['--describe', '--topic', topic])).stdout
    await this.#case('kafka-topics --create', async () => {
      const args = ['--create', '--topic', topic, '--partitions', '2', '--config', 'max.message.bytes=654321']
      contains((await this.#tool('kafka-topics', args)).stdout, `Created topic ${topic}`)
    })
    await this.#case('kafka-topics --create of a topic that exists', async () => {
      const args = ['--create', '--topic', topic, '--partitions', '2']
      const { exitCode, stdout, stderr } = await this.#tool('kafka-topics', args, { allowedExitCodes: [1] })
      contains(`${exitCode} ${stdout} ${stderr}`, 'TopicExistsException')
    })
    await this.#case('kafka-topics --list', async () => {
      contains((await this.#tool('kafka-topics', ['--list'])).stdout, topic)
    })
    await this.#case('kafka-topics --describe', async () => {
      const output = await describe()
      matches(output, /PartitionCount: 2\s+ReplicationFactor: 1\s+Configs:.*max\.message\.bytes=654321/)
      matches(output, /Partition: 1\s+Leader: (\d+)\s+Replicas: \1\s+Isr: \1/)
    })
    await this.#case('kafka-topics --alter --partitions', async () => {
      await this.#tool('kafka-topics', ['--alter', '--topic', topic, '--partitions', '4'])
      matches(await describe(), /PartitionCount: 4/)
    })
    await this.#case('kafka-topics --delete', async () => {
      await this.#tool('kafka-topics', ['--delete', '--topic', topic])
      const { stdout } = await this.#tool('kafka-topics', ['--list'])
      if (stdout.split('\n').includes(topic)) throw new Error('the topic is still listed')
    })
  }

  async #configs(): Promise<void> {
    const topic = `${this.#run}-configs`
    const entity = ['--entity-type', 'topics', '--entity-name', topic]
    await this.#case('kafka-configs --describe --all of a topic', async () => {
      await this.#tool('kafka-topics', ['--create', '--topic', topic])
      const { stdout } = await this.#tool('kafka-configs', ['--describe', ...entity, '--all'])
      matches(stdout, /^ {2}cleanup\.policy=delete sensitive=false synonyms=\{.*\}/m)
      matches(stdout, /^ {2}max\.message\.bytes=\d+ /m)
    })
    await this.#case('kafka-configs --alter --add-config', async () => {
      await this.#tool('kafka-configs', ['--alter', ...entity, '--add-config', 'max.message.bytes=123456'])
      const { stdout } = await this.#tool('kafka-configs', ['--describe', ...entity])
      matches(stdout, /^ {2}max\.message\.bytes=123456 sensitive=false synonyms=\{DYNAMIC_TOPIC_CONFIG:/m)
    })
    await this.#case('kafka-configs --alter --delete-config', async () => {
      await this.#tool('kafka-configs', ['--alter', ...entity, '--delete-config', 'max.message.bytes'])
      const { stdout } = await this.#tool('kafka-configs', ['--describe', ...entity])
      if (stdout.includes('max.message.bytes')) throw new Error(`still set: ${stdout}`)
    })
    await this.#case('kafka-configs --alter of retention and compaction', async () => {
      const given = 'retention.ms=3600000,retention.bytes=1000000,cleanup.policy=[compact,delete]'
      await this.#tool('kafka-configs', ['--alter', ...entity, '--add-config', given])
      const { stdout } = await this.#tool('kafka-configs', ['--describe', ...entity])
      matches(stdout, /^ {2}retention\.ms=3600000 sensitive=false synonyms=\{DYNAMIC_TOPIC_CONFIG:/m)
      matches(stdout, /^ {2}cleanup\.policy=compact,delete /m)
    })
    await this.#case(
      'kafka-delete-records: what is deleted is gone, the rest keeps its offsets',
      async () => {
        const lines = Array.from({ length: 10 }, (_, index) => `record ${index}\n`).join('')
        const records = `${this.#run}-deleted`
        await this.#tool('kafka-topics', ['--create', '--topic', records])
        await this.#tool('kafka-console-producer', ['--topic', records], { stdin: lines })
        const partitions = [{ topic: records, partition: 0, offset: 4 }]
        const file = `${tmpdir()}/${records}.json`
        await writeFile(file, JSON.stringify({ partitions, version: 1 }))
        try {
          const { stdout } = await this.#tool('kafka-delete-records', ['--offset-json-file', file])
          matches(stdout, /low_watermark: 4/)
        } finally {
          await rm(file, { force: true })
        }
        const offsets = async (time: string) =>
          (await this.#tool('kafka-get-offsets', ['--topic', records, '--time', time])).stdout
        contains(await offsets('earliest'), `${records}:0:4`)
        contains(await offsets('latest'), `${records}:0:10`)
      },
    )
    await this.#case('kafka-configs --alter of retention.ms: records go without a restart', async () => {
      const expired = `${this.#run}-expired`
      const startsAt = async (offset: number) => {
        const { stdout } = await this.#tool('kafka-get-offsets', ['--topic', expired, '--time', 'earliest'])
        return stdout.includes(`${expired}:0:${offset}`)
      }
      await this.#tool('kafka-topics', ['--create', '--topic', expired])
      await this.#tool('kafka-console-producer', ['--topic', expired], { stdin: 'a\nb\nc\n' })
      if (!(await startsAt(0))) throw new Error('records went before their time')
      const change = ['--alter', '--entity-type', 'topics', '--entity-name', expired]
      await this.#tool('kafka-configs', [...change, '--add-config', 'retention.ms=1'])
      const deadlineMs = performance.now() + RETENTION_TIMEOUT_MS
      while (!(await startsAt(3))) {
        if (performance.now() > deadlineMs) throw new Error('records did not go')
      }
      await this.#checkEndOffsets([{ topic: expired, partition: 0, records: 3 }])
      const { stdout } = await this.#tool('kafka-log-dirs', ['--describe', '--topic-list', expired])
      contains(stdout, `"partition":"${expired}-0","size":0,`)
    })
    await this.#case('kafka-configs --describe --all of the broker', async () => {
      const { stdout: description } = await this.#tool('kafka-topics', ['--describe', '--topic', topic])
      const node = /Leader: (\d+)/.exec(description)?.[1]
      if (node === undefined) throw new Error(`no leader in ${description}`)
      const broker = ['--entity-type', 'brokers', '--entity-name', node]
      const { stdout } = await this.#tool('kafka-configs', ['--describe', ...broker, '--all'])
      matches(stdout, /^ {2}[\w.]+=\S* sensitive=(true|false) synonyms=/m)
    })
  }

  /** One topic whose type is changed again and again: its size tells how each part of it is stored. */
  async #compressionType(): Promise<void> {
    const topic = `${this.#run}-stored`
    const sent: string[] = []
    const entity = ['--entity-type', 'topics', '--entity-name', topic]
    const sizeBytes = async (): Promise<number> => {
      const { stdout } = await this.#tool('kafka-log-dirs', ['--describe', '--topic-list', topic])
      return Number(matches(stdout, new RegExp(`"partition":"${topic}-0","size":(\\d+),`))[1])
    }
    const name = (type: string, codec: string) =>
      `kafka-configs --alter of compression.type=${type}: records sent with ${codec === 'none' ? 'no codec' : codec} take the room of ${type} ones`
    for (const [type, codec] of STORED_AND_SENT) {
      await this.#case(name(type, codec), async () => {
        if (sent.length === 0) await this.#tool('kafka-topics', ['--create', '--topic', topic])
        await this.#tool('kafka-configs', ['--alter', ...entity, '--add-config', `compression.type=${type}`])
        const { stdout } = await this.#tool('kafka-configs', ['--describe', ...entity])
        contains(stdout, `compression.type=${type} sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:`)
        const lines = Array.from({ length: REPEATING_LINES }, (_, at) =>
          `${sent.length + at} `.padEnd(REPEATING_BYTES, 'x'),
        )
        const before = await sizeBytes()
        const args = ['--topic', topic, '--compression-codec', codec]
        await this.#tool('kafka-console-producer', args, { stdin: `${lines.join('\n')}\n` })
        sent.push(...lines)
        const took = (await sizeBytes()) - before
        const plainBytes = REPEATING_LINES * REPEATING_BYTES
        const isRight = type === 'uncompressed' ? took > plainBytes : took < plainBytes / 4
        if (!isRight) throw new Error(`${plainBytes} bytes of lines take ${took}`)
        return `${took.toLocaleString('en-US')} bytes of ${plainBytes.toLocaleString('en-US')}`
      })
    }
    await this.#case('kafka-console-consumer reads what was stored in another codec', async () => {
      const args = ['--topic', topic, '--from-beginning', '--max-messages', String(sent.length)]
      const { stdout } = await this.#tool('kafka-console-consumer', [...args, '--timeout-ms', '15000'])
      const found = stdout.trimEnd().split('\n')
      const wrong = sent.findIndex((line, at) => line !== found[at])
      if (wrong !== -1 || found.length !== sent.length) {
        throw new Error(`${found.length} lines of ${sent.length}, line ${wrong}: ${found[wrong]}`)
      }
    })
  }

  async #consoles(): Promise<void> {
    const topic = `${this.#run}-console`
    const lines = Array.from({ length: LINES }, (_, i) => `index:${i},run:interop\tkey-${i % 50}\tline ${i}`)
    await this.#case('kafka-console-producer, keys and headers', async () => {
      const properties = ['--reader-property', 'parse.headers=true', '--reader-property', 'parse.key=true']
      await this.#tool('kafka-console-producer', ['--topic', topic, ...properties], {
        stdin: `${lines.join('\n')}\n`,
      })
      await this.#checkEndOffsets([{ topic, partition: 0, records: LINES }])
    })
    const consume = async (offset: string, count: number, expected: readonly string[]): Promise<void> => {
      const shown = ['key', 'headers', 'offset'].flatMap((field) => [
        '--formatter-property',
        `print.${field}=true`,
      ])
      const args = ['--topic', topic, '--partition', '0', '--offset', offset, '--timeout-ms', '15000']
      const { stdout } = await this.#tool('kafka-console-consumer', [
        ...args,
        '--max-messages',
        String(count),
        ...shown,
      ])
      const found = stdout.trimEnd().split('\n')
      if (found.length !== count) throw new Error(`${found.length} lines instead of ${count}`)
      const wrong = found.findIndex((line, i) => line !== expected[i])
      if (wrong !== -1) throw new Error(`line ${wrong}: ${found[wrong]} instead of ${expected[wrong]}`)
    }
    const printed = lines.map((line, offset) => `Offset:${offset}\t${line}`)
    await this.#case('kafka-console-consumer from the beginning', () => consume('earliest', LINES, printed))
    await this.#case('kafka-console-consumer from an offset', () =>
      consume(String(LINES / 2), 10, printed.slice(LINES / 2, LINES / 2 + 10)),
    )
  }

  async #verifiableProducer(): Promise<void> {
    const topic = `${this.#run}-verifiable`
    const args = ['--topic', topic, '--max-messages', String(LINES), '--acks', '-1', '--throughput', '-1']
    const { stdout } = await this.#tool('kafka-verifiable-producer', args)
    const events = stdout
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map(
        (line) => JSON.parse(line) as { name: string; partition?: number; offset?: number; acked?: number },
      )
    const offsets = events.filter(({ name }) => name === 'producer_send_success').map(({ offset }) => offset)
    if (offsets.length !== LINES) throw new Error(`${offsets.length} acknowledgements instead of ${LINES}`)
    const wrong = offsets.findIndex((offset, i) => offset !== i)
    if (wrong !== -1) throw new Error(`acknowledgement ${wrong} has offset ${offsets[wrong]}`)
    await this.#checkEndOffsets([{ topic, partition: 0, records: LINES }])
  }

  async #checkEndOffsets(expected: readonly { topic: string; partition: number; records: number }[]) {
    const { stdout } = await this.#tool('kafka-get-offsets', ['--time', 'latest'])
    const ends = new Map(
      stdout.split('\n').map((line) => {
        const [topic, partition, offset] = line.split(':')
        return [`${topic}/${partition}`, Number(offset)] as const
      }),
    )
    for (const { topic, partition, records } of expected) {
      const end = ends.get(`${topic}/${partition}`)
      if (end !== records) throw new Error(`${topic}/${partition} ends at ${end} instead of ${records}`)
    }
  }

  #tool(name: ToolName, args: readonly string[], options: ToolOptions = {}) {
    return this.#tools.run(name, args, options)
  }

  async #case(name: string, body: () => Promise<unknown>): Promise<void> {
    await this.#ledger.run(TOOLS_NAME, name, body)
  }
}

/** A name for the topics of one run, so that a run can repeat against a broker that keeps its data. */
export function newRunName(): string {
  return `run-${randomUUID().slice(0, 8)}`
}
