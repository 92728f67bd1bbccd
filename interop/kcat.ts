/** kcat, which is librdkafka on the command line: a process per step, records through its pipes. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { runCommand } from '../peers/command.ts'
import { ensureProgram } from '../peers/debian.ts'
import { runTool } from '../peers/kafka.ts'
import { cacheDir } from '../peers/workspace.ts'
import { allCodecs, type ClientSource, type InteropClient } from './client.ts'
import type { ConsumeCommand, ProduceCommand, Produced, TransactCommand } from './node/worker.ts'
import { type Consumed, RecordDigest, type RecordSet, recordAt } from './records.ts'
import { RunningProgram } from './running-program.ts'

/** Lengths stand before the bytes, so that keys and values may hold anything. The byte 0x1f ends the headers. */
const FORMAT = '%o %T %K %S %k%s%h\x1f'
const HEADERS_END = 0x1f
const SPACE = 0x20
const ABORTED_INPUT_BYTES = 64 * 1024
const ABORT_AFTER_MS = 1_500

class Kcat implements InteropClient {
  readonly name = 'kcat'
  readonly version: string
  readonly remarks = [
    'Sets headers for a whole run only: the same two on each record.',
    'Cannot choose timestamps: seeking by time looks for the time one of its records got.',
    'Does not print acknowledged offsets: they are checked by consuming.',
    'Has no command that creates topics: those with three partitions are created by kafka-topics.',
  ]
  readonly codecs = allCodecs
  readonly missingCodecs = {}
  readonly headers = 'fixed'
  readonly everyRecord = undefined
  readonly endsWithBroker = 'it ends as soon as its only broker is gone'
  readonly choosesTimestamps = false
  readonly createsTopics = false
  readonly #bootstrap: string

  constructor(version: string, bootstrap: string) {
    this.version = version
    this.#bootstrap = bootstrap
  }

  async createTopic(topic: string, partitions: number): Promise<void> {
    const args = ['--bootstrap-server', this.#bootstrap, '--create', '--topic', topic]
    await runTool('org.apache.kafka.tools.TopicCommand', [...args, '--partitions', String(partitions)])
  }

  async produce(command: ProduceCommand): Promise<Produced> {
    const { topic, set, from, to, codec, idempotent } = command
    const shared = ['-P', '-b', this.#bootstrap, '-t', topic, '-X', 'acks=all', '-X', 'linger.ms=5']
    if (idempotent) shared.push('-X', 'enable.idempotence=true')
    if (codec !== 'none') shared.push('-z', codec)
    for (const [name, value] of recordAt(set, 0).headers) shared.push('-H', `${name}=${value}`)
    if (set.shape === 'large') await this.#produceFiles(shared, command)
    else {
      for (let partition = 0; partition < set.partitions; partition++) {
        const lines = linesOf(set, partition, from, to)
        await runCommand('kcat', [...shared, '-p', String(partition), '-K', '\t', '-Z'], { stdin: lines })
      }
    }
    return { acknowledged: to - from, wrongOffset: null }
  }

  /** Each value as a whole file: the way of kcat for values that are binary. */
  async #produceFiles(shared: readonly string[], { topic, set, from, to }: ProduceCommand): Promise<void> {
    const folder = `${cacheDir}/interop/kcat-${topic}`
    await mkdir(folder, { recursive: true })
    try {
      for (let index = from; index < to; index++) {
        const { key, value } = recordAt(set, index)
        const file = `${folder}/${index}`
        if (value === null) throw new Error(`record ${index} has no value`)
        await writeFile(file, value)
        const partition = String(index % set.partitions)
        await runCommand('kcat', [...shared, '-p', partition, '-k', String(key), file])
      }
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }

  async consume({ topic, partition, fromOffset, count }: ConsumeCommand): Promise<Consumed> {
    const digest = new RecordDigest()
    const args = ['-o', String(fromOffset), '-c', String(count), '-e']
    for (const record of await this.#fetch(topic, partition, args)) {
      digest.add(record.offset, record.key, record.value, record.headers, record.timestampMs)
    }
    return digest.end()
  }

  async offsetForTime(topic: string, partition: number, timestampMs: number): Promise<number> {
    const query = ['-Q', '-b', this.#bootstrap, '-t', `${topic}:${partition}:${timestampMs}`]
    const { stdout } = await runCommand('kcat', query)
    const offset = /offset (-?\d+)/.exec(stdout)?.[1]
    if (offset === undefined) throw new Error(`no offset in ${stdout}`)
    return Number(offset)
  }

  async timestampAt(topic: string, partition: number, offset: number): Promise<number> {
    const [record] = await this.#fetch(topic, partition, ['-o', String(offset), '-c', '1', '-e'])
    if (record === undefined) throw new Error(`no record at offset ${offset}`)
    return record.timestampMs
  }

  /** It commits at the end of its input; interrupted before, it aborts. */
  async transact({ topic, id, from, to, outcome, timeoutMs }: TransactCommand): Promise<void> {
    const settings = { 'transactional.id': id, 'transaction.timeout.ms': timeoutMs, 'linger.ms': 0 }
    const options = Object.entries(settings).flatMap(([name, value]) => ['-X', `${name}=${value}`])
    const args = ['-P', '-b', this.#bootstrap, '-t', topic, '-p', '0', ...options]
    const lines = Array.from({ length: to - from }, (_, index) => `${outcome} ${from + index}\n`)
    if (outcome === 'commit') {
      await runCommand('kcat', args, { stdin: lines.join('') })
      return
    }
    const kcat = new RunningProgram('kcat', 'kcat', args)
    // It reads its input in blocks: a full one makes it send.
    kcat.write(lines.join('').padEnd(ABORTED_INPUT_BYTES, `${outcome}\n`))
    await sleep(ABORT_AFTER_MS)
    await kcat.end(outcome === 'abort' ? 'SIGINT' : 'SIGKILL')
  }

  async close(): Promise<void> {}

  async #fetch(topic: string, partition: number, args: readonly string[]) {
    const shared = [
      '-C',
      '-q',
      '-b',
      this.#bootstrap,
      '-t',
      topic,
      '-p',
      String(partition),
      '-X',
      'check.crcs=true',
    ]
    const { stdoutBytes } = await runCommand('kcat', [...shared, ...args, '-f', FORMAT])
    return parse(stdoutBytes)
  }
}

function linesOf(set: RecordSet, partition: number, from: number, to: number): string {
  const lines: string[] = []
  for (let index = from; index < to; index++) {
    if (index % set.partitions !== partition) continue
    const { key, value } = recordAt(set, index)
    lines.push(`${key ?? ''}\t${value}\n`)
  }
  return lines.join('')
}

interface ParsedRecord {
  offset: number
  timestampMs: number
  key: Buffer | null
  value: Buffer | null
  headers: [string, Buffer][]
}

function parse(output: Buffer): ParsedRecord[] {
  const records: ParsedRecord[] = []
  let at = 0
  const number = (): number => {
    const end = output.indexOf(SPACE, at)
    const value = Number(output.toString('latin1', at, end))
    at = end + 1
    return value
  }
  const bytes = (length: number): Buffer | null => {
    if (length < 0) return null
    at += length
    return output.subarray(at - length, at)
  }
  while (at < output.length) {
    const offset = number()
    const timestampMs = number()
    const keyLength = number()
    const valueLength = number()
    const key = bytes(keyLength)
    const value = bytes(valueLength)
    const end = output.indexOf(HEADERS_END, at)
    const text = output.toString('utf8', at, end)
    at = end + 1
    const headers = text === '' ? [] : text.split(',').map(parseHeader)
    records.push({ offset, timestampMs, key, value, headers })
  }
  return records
}

function parseHeader(pair: string): [string, Buffer] {
  const split = pair.indexOf('=')
  return [pair.slice(0, split), Buffer.from(pair.slice(split + 1))]
}

export const kcat: ClientSource = {
  name: 'kcat',
  async install() {
    await ensureProgram('kcat', 'kcat')
    const { stdout, stderr } = await runCommand('kcat', ['-V'], { allowedExitCodes: [0, 1] })
    const text = stdout + stderr
    const [, version, library] = /Version ([\d.]+).*librdkafka ([\d.]+)/.exec(text) ?? []
    if (version === undefined) throw new Error(`no version in ${text}`)
    return async (bootstrap) => new Kcat(`${version} (librdkafka ${library})`, bootstrap)
  },
}
