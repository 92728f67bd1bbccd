import {
  isStreamBusError,
  type OutgoingMessage,
  type Producer,
  type ProducerOptions,
} from '@streambus/client'
import { onInterrupt, pairs, withCluster } from './client-session.ts'
import { CommandError, exitCodes, UsageError } from './failure.ts'
import { LineSplitter } from './line-splitter.ts'
import { ProduceReport } from './produce-report.ts'
import { type GivenOptions, integer, oneOf } from './settings.ts'

/** No broker takes a larger message: frames are bounded at 100 MiB. */
const maxLineBytes = 100 * 1024 * 1024
/** Enough to keep a broker busy; every byte of short lines costs several of memory. */
const maxBufferedBytes = 12 * 1024 * 1024
/** As much of a line as an error shows. */
const shownLineBytes = 80
/** Chunks of input on their way at once; the producer bounds their bytes, this bounds what it keeps of them. */
const maxChunksInFlight = 256

interface ProduceOptions {
  readonly producer: ProducerOptions
  /** What every message has in common. */
  readonly template: Omit<OutgoingMessage, 'value'>
  readonly message: string | undefined
  readonly keySeparator: Buffer | undefined
}

export async function produce(topic: string, given: GivenOptions): Promise<void> {
  const options = produceOptions(given)
  await withCluster(given, {}, async (bus) => {
    await bus.checkAddresses()
    const producer = bus.producer(options.producer)
    if (options.message !== undefined) {
      const sent = await producer.send(topic, options.message, options.template)
      const { partition, offset } = sent
      process.stdout.write(
        given.json
          ? `${JSON.stringify(sent)}\n`
          : `Topic: ${topic}, Partition: ${partition}, Offset: ${offset}\n`,
      )
      return
    }
    const report = new ProduceReport(topic, given.json === true)
    try {
      const complete = await sendLines(producer, topic, options, report)
      if (!complete) process.exitCode = exitCodes.interrupted
    } catch (error) {
      report.finish()
      throw error
    }
    report.finish()
  })
}

/** False when it was interrupted before the end of the input. */
async function sendLines(
  producer: Producer,
  topic: string,
  options: ProduceOptions,
  report: ProduceReport,
): Promise<boolean> {
  const { template, keySeparator } = options
  const splitter = new LineSplitter(maxLineBytes)
  const input = process.stdin
  let interrupted = false
  let failure: unknown
  let lineCount = 0
  const inFlight = new Set<Promise<void>>()
  const stopListening = onInterrupt(() => {
    interrupted = true
    input.destroy()
  })
  const send = (lines: readonly Buffer[]) => {
    const messages: OutgoingMessage[] = []
    for (const line of lines) {
      const message = messageOf(line, template, keySeparator)
      lineCount++
      if (message === undefined) {
        failure ??= withoutSeparator(lineCount, line, keySeparator as Buffer)
        break
      }
      messages.push(message)
    }
    // What stands before a line that is wrong is sent all the same.
    const sending = producer.sendBatch(topic, messages).then(
      (sent) => report.add(sent, lines.slice(0, sent.length)),
      (error: unknown) => {
        failure ??= error
        input.destroy()
      },
    )
    inFlight.add(sending)
    sending.finally(() => inFlight.delete(sending))
  }
  if (input.isTTY) process.stderr.write('Every line is a message; end with Ctrl-D.\n')
  try {
    for await (const chunk of input as AsyncIterable<Buffer>) {
      const lines = splitter.push(chunk)
      if (lines.length > 0) send(lines)
      await producer.waitForRoom()
      if (inFlight.size >= maxChunksInFlight) await Promise.race(inFlight)
      if (failure !== undefined || interrupted) break
    }
    const last = interrupted ? undefined : splitter.end()
    if (last !== undefined && failure === undefined) send([last])
  } catch (error) {
    // Destroying the input ends the loop with an error of its own, which says nothing.
    if (!interrupted) failure ??= error
  }
  await Promise.all(inFlight)
  stopListening()
  if (failure !== undefined) throw explained(failure, report)
  return !interrupted
}

/** Undefined where the line has no separator. */
function messageOf(
  line: Buffer,
  template: Omit<OutgoingMessage, 'value'>,
  keySeparator: Buffer | undefined,
): OutgoingMessage | undefined {
  if (keySeparator === undefined) return { ...template, value: line }
  const at = line.indexOf(keySeparator)
  if (at < 0) return undefined
  return { ...template, key: line.subarray(0, at), value: line.subarray(at + keySeparator.length) }
}

/** Taken as a value, as kcat does it, such a line would leave the order of its key without anybody noticing. */
function withoutSeparator(lineNumber: number, line: Buffer, keySeparator: Buffer): CommandError {
  const text = line.toString('utf8', 0, shownLineBytes)
  const shown = line.length > shownLineBytes ? `${text}…` : text
  return new CommandError(
    `Line ${lineNumber} has no '${keySeparator}' between key and value: ${JSON.stringify(shown)}. It was not sent, nor what follows it.`,
  )
}

function explained(failure: unknown, report: ProduceReport): unknown {
  if (failure instanceof RangeError) return new CommandError(failure.message, { cause: failure })
  const isKnown = failure instanceof CommandError || isStreamBusError(failure)
  if (!isKnown || report.messages === 0) return failure
  return new CommandError(`Stopped after ${report.messages} messages were acknowledged. ${failure.message}`, {
    cause: failure,
  })
}

function produceOptions(given: GivenOptions): ProduceOptions {
  const option = (name: string) => given[name] as string | undefined
  const { message, key, keySeparator, partition } = {
    message: option('message'),
    key: option('key'),
    keySeparator: option('keySeparator'),
    partition: option('partition'),
  }
  if (keySeparator !== undefined && (key !== undefined || message !== undefined)) {
    throw new UsageError('-K splits lines of standard input and cannot be used with -k or -m.')
  }
  if (keySeparator === '') throw new UsageError('-K must not be empty.')
  const codec = oneOf('none', 'gzip', 'snappy', 'lz4', 'zstd')
  const acks = oneOf('all', '1', '0').parse(option('acks') ?? 'all', '--acks')
  const headers = pairs('-H', (given.header as string[] | undefined) ?? [])
  return {
    message,
    keySeparator: keySeparator === undefined ? undefined : Buffer.from(keySeparator),
    producer: {
      acks: acks === 'all' ? acks : (Number(acks) as 0 | 1),
      compression: codec.parse(option('compression') ?? 'none', '--compression'),
      maxBufferedBytes,
      deliveryTimeoutMs: integer(1, 86_400).parse(option('timeout') ?? '30', '--timeout') * 1_000,
    },
    template: {
      ...(key === undefined ? {} : { key }),
      ...(partition === undefined ? {} : { partition: integer(0, 2 ** 31 - 1).parse(partition, '-p') }),
      ...(headers.length === 0 ? {} : { headers: headers.map(([name, value]) => ({ key: name, value })) }),
    },
  }
}
