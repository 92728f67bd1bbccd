/**
 * The variable-length integers of records: zigzag, seven bits a byte, the lowest first. Varints have 32 bits,
 * varlongs 64, of which numbers below 2^53 are exact.
 */

function zigzag(value: number): number {
  return ((value << 1) ^ (value >> 31)) >>> 0
}

export function varintBytes(value: number): number {
  const z = zigzag(value)
  return z < 0x80 ? 1 : z < 0x4000 ? 2 : z < 0x200000 ? 3 : z < 0x10000000 ? 4 : 5
}

/** Returns the position behind it, as `writeVarlong` does. */
export function writeVarint(target: Uint8Array, start: number, value: number): number {
  let at = start
  let z = zigzag(value)
  while (z > 0x7f) {
    target[at++] = (z & 0x7f) | 0x80
    z >>>= 7
  }
  target[at++] = z
  return at
}

/** Zigzag of a number that may need more than 32 bits. */
function longZigzag(value: number): number {
  return value >= 0 ? value * 2 : -value * 2 - 1
}

export function varlongBytes(value: number): number {
  let z = longZigzag(value)
  let count = 1
  while (z > 0x7f) {
    z = Math.floor(z / 128)
    count++
  }
  return count
}

export function writeVarlong(target: Uint8Array, start: number, value: number): number {
  let at = start
  let z = longZigzag(value)
  while (z > 0x7f) {
    target[at++] = (z % 128) | 0x80
    z = Math.floor(z / 128)
  }
  target[at++] = z
  return at
}
