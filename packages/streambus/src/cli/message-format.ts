/**
 * How messages become output. A format is compiled once into parts; the messages of a batch are then written
 * into one buffer, keys and values copied byte for byte.
 */
import { isUtf8 } from 'node:buffer'
import type { Message } from '@streambus/client'
import { UsageError } from './failure.ts'

/** Output for the messages of one batch. */
export type Formatter = (messages: readonly Message[]) => Buffer

type Part = Buffer | ((message: Message) => Buffer | null)

const number = (value: number) => Buffer.from(String(value), 'latin1')

const fields: Readonly<Record<string, (message: Message) => Buffer | null>> = {
  t: ({ topic }) => Buffer.from(topic),
  p: ({ partition }) => number(partition),
  o: ({ offset }) => number(offset),
  T: ({ timestamp }) => number(timestamp),
  k: ({ key }) => key,
  s: ({ value }) => value,
  h: (message) => headerBytes(message, ','),
}

const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', 0: '\0', '\\': '\\' }

/** Compiles a format as of `-f`. Throws UsageError where it names something that does not exist. */
export function compileFormat(format: string): Formatter {
  const parts: Part[] = []
  let literal = ''
  for (let index = 0; index < format.length; index++) {
    const character = format[index] as string
    if (character !== '%' && character !== '\\') {
      literal += character
      continue
    }
    const code = format[++index]
    if (character === '\\') {
      if (code === undefined || escapes[code] === undefined) {
        throw new UsageError(
          `The format has the escape '\\${code ?? ''}'; there are \\n, \\t, \\r, \\0 and \\\\.`,
        )
      }
      literal += escapes[code]
    } else if (code === '%') {
      literal += '%'
    } else {
      const field = code === undefined ? undefined : fields[code]
      if (field === undefined) {
        throw new UsageError(
          `The format has '%${code ?? ''}'; there are ${Object.keys(fields)
            .map((name) => `%${name}`)
            .join(', ')} and %%.`,
        )
      }
      if (literal !== '') parts.push(Buffer.from(literal))
      literal = ''
      parts.push(field)
    }
  }
  if (literal !== '') parts.push(Buffer.from(literal))
  return (messages) => {
    const pieces: Buffer[] = []
    for (const message of messages) {
      for (const part of parts) {
        const piece = typeof part === 'function' ? part(message) : part
        if (piece !== null && piece.length > 0) pieces.push(piece)
      }
    }
    return Buffer.concat(pieces)
  }
}

/** `Offset: 0, Key: k1, Value: v1`, headers where there are any, the partition where several are read. */
export function readableFormat(withPartition: boolean): Formatter {
  const keyLabel = Buffer.from(', Key: ')
  const valueLabel = Buffer.from(', Value: ')
  const headersLabel = Buffer.from(', Headers: ')
  const nothing = Buffer.from('null')
  const newline = Buffer.from('\n')
  return (messages) => {
    const pieces: Buffer[] = []
    for (const message of messages) {
      const place = withPartition ? `Partition: ${message.partition}, ` : ''
      pieces.push(Buffer.from(`${place}Offset: ${message.offset}`, 'latin1'))
      pieces.push(keyLabel, message.key ?? nothing, valueLabel, message.value ?? nothing)
      if (message.headers.length > 0) pieces.push(headersLabel, headerBytes(message, ', '))
      pieces.push(newline)
    }
    return Buffer.concat(pieces)
  }
}

/** One JSON object a line. Text is a string, null is null, and bytes that are no UTF-8 `{"base64": "…"}`. */
export const jsonFormat: Formatter = (messages) =>
  Buffer.from(
    messages
      .map(({ topic, partition, offset, timestamp, key, value, headers }) =>
        JSON.stringify({
          topic,
          partition,
          offset,
          timestamp,
          key: jsonBytes(key),
          value: jsonBytes(value),
          headers: headers.map((header) => ({ key: header.key, value: jsonBytes(header.value) })),
        }),
      )
      .map((line) => `${line}\n`)
      .join(''),
  )

/** Text as it is, other bytes as `{"base64": "…"}`. */
export function jsonBytes(bytes: Uint8Array | null): string | { base64: string } | null {
  if (bytes === null) return null
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return isUtf8(buffer) ? buffer.toString() : { base64: buffer.toString('base64') }
}

function headerBytes({ headers }: Message, separator: string): Buffer {
  const pieces: Buffer[] = []
  headers.forEach(({ key, value }, index) => {
    pieces.push(Buffer.from(`${index === 0 ? '' : separator}${key}=`))
    if (value !== null) pieces.push(value)
  })
  return Buffer.concat(pieces)
}
