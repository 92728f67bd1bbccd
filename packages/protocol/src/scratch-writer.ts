import { ByteWriter } from './byte-writer.ts'

let idle: ByteWriter | undefined

/**
 * A writer with scratch memory that was used before. It is taken for the time of one message: a getter in a
 * message may encode another one, which then gets a writer of its own. Give it back with `returnWriter`.
 */
export function takeWriter(): ByteWriter {
  const writer = idle ?? new ByteWriter()
  idle = undefined
  writer.reset()
  return writer
}

export function returnWriter(writer: ByteWriter): void {
  idle = writer
}
