import type { Part } from '../byte-writer.ts'

/** Joins the parts of a message without external bytes, as they would lie on the wire. */
export function wireBytes(parts: readonly Part[]): Buffer {
  return Buffer.concat(parts as Uint8Array[])
}

/** A message's frame without its 4-byte length. */
export function frameOf(parts: readonly Part[]): Buffer {
  return wireBytes(parts).subarray(4)
}
