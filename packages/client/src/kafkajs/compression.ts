import type { CompressionName } from '@streambus/protocol'
import { KafkaJSNotImplemented } from './errors.ts'

export const CompressionTypes = { None: 0, GZIP: 1, Snappy: 2, LZ4: 3, ZSTD: 4 } as const
export type CompressionTypes = (typeof CompressionTypes)[keyof typeof CompressionTypes]

/**
 * Where kafkajs programs put codecs. All are built in, so that what is assigned here is not called; it does no harm.
 */
export const CompressionCodecs: {
  // biome-ignore lint/suspicious/noExplicitAny: codecs of other packages are of any type, as in kafkajs.
  [Type in Exclude<CompressionTypes, 0>]: () => any
} = { 1: builtIn, 2: builtIn, 3: builtIn, 4: builtIn }

function builtIn(): never {
  throw new KafkaJSNotImplemented('Codecs are built in and cannot be called from outside')
}

const names: readonly CompressionName[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

export function compressionName(type: CompressionTypes = CompressionTypes.None): CompressionName {
  const name = names[type]
  if (name === undefined) throw new KafkaJSNotImplemented(`There is no compression ${String(type)}`)
  return name
}
