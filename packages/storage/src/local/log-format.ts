import { batchHeader, crc32c } from '@streambus/protocol'

/**
 * The bytes of a log file. All integers are little-endian; every structure starts at a multiple of 4 KiB,
 * the unit of direct I/O.
 *
 * ```
 * file   = file header, padded to 4 KiB · group · group · …
 * group  = group header (64) · record batches and event bodies · entry table · zeros up to 4 KiB
 *
 * file header                            group header
 *  0  u32  magic 'SBLG'                    0  u32  magic 'SBGR'
 *  4  u32  CRC-32C of 8–63                 4  u32  CRC-32C of 8–63, then of the entry table
 *  8  u32  format version, 1               8  u32  chain: CRC of the group before
 * 12  u32  0                              12  u32  length of the group, a multiple of 4 KiB
 * 16  u64  file number                    16  u64  sequence: 1 + that of the group before
 * 24  16   store id                       24  u64  highest sequence known to be on disk at the time
 * 40  …    0                              32  u64  file number
 *                                         40  u64  time of writing, ms since the epoch
 *                                         48  u32  entries
 *                                         52  u32  position of the entry table in the group
 *                                         56  u64  0
 * entry (32)
 *  0  u8   kind: 1 record batch, 2 event (JSON of a StoreEvent)
 *  1  3    0
 *  4  u32  log id; 0 for an event
 *  8  u32  position in the group
 * 12  u32  length
 * 16  u64  base offset; 0 for an event
 * 24  u32  CRC-32C: the batch's own (over its byte 21 to the end), or the event's
 * 28  u32  leader epoch; 0 for an event
 * ```
 *
 * The header's CRC covers the table, the table covers what a batch's own CRC leaves out (base offset, length,
 * leader epoch), so all bytes but the padding are covered, and no payload is checksummed twice.
 *
 * A group is written by one write, never rewritten. What a crash may leave: the last group or two torn or
 * missing in any of their 4 KiB blocks, and, because two groups may be in flight, the later of them complete
 * while the earlier is not. A group counts only if its file number, sequence and chain continue the group
 * before it: whatever an earlier use or a failed write left in the blocks does not.
 *
 * The format version is raised when an older reader would misread the file; a reader refuses a newer one.
 */
export const FORMAT_VERSION = 1
export const BLOCK_BYTES = 4096
export const FILE_HEADER_BYTES = BLOCK_BYTES
export const GROUP_HEADER_BYTES = 64
export const ENTRY_BYTES = 32

const FILE_MAGIC = 0x474c4253
const GROUP_MAGIC = 0x52474253
/** A group is never longer than this, so that a damaged length cannot make a reader allocate without bound. */
export const MAX_GROUP_BYTES = 64 * 1024 ** 2

export const EntryKind = { batch: 1, event: 2 } as const

export interface GroupHeader {
  readonly chain: number
  readonly lengthBytes: number
  readonly sequence: number
  readonly durableSequence: number
  readonly fileNumber: number
  readonly writtenAtMs: number
  readonly entryCount: number
  readonly tablePosition: number
}

export interface Entry {
  readonly kind: number
  readonly logId: number
  readonly position: number
  readonly lengthBytes: number
  readonly baseOffset: number
  readonly crc: number
  readonly leaderEpoch: number
}

export function paddedLength(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

export function setU64(view: DataView, position: number, value: number): void {
  view.setUint32(position, value % 0x1_0000_0000, true)
  view.setUint32(position + 4, Math.floor(value / 0x1_0000_0000), true)
}

export function getU64(view: DataView, position: number): number {
  return view.getUint32(position + 4, true) * 0x1_0000_0000 + view.getUint32(position, true)
}

export function writeFileHeader(target: Uint8Array, fileNumber: number, storeId: Uint8Array): void {
  target.fill(0, 0, FILE_HEADER_BYTES)
  const view = viewOf(target)
  view.setUint32(0, FILE_MAGIC, true)
  view.setUint32(8, FORMAT_VERSION, true)
  setU64(view, 16, fileNumber)
  target.set(storeId, 24)
  view.setUint32(4, crc32c(target.subarray(8, 64)), true)
}

/**
 * What is wrong with a file header, or null. `torn`: a crash while the file was created may have left it so.
 * `newer`: written by a newer release; the version is judged before what a newer format may have changed.
 * `foreign`: intact, but of another file.
 */
export interface FileHeaderFault {
  readonly kind: 'torn' | 'newer' | 'foreign'
  readonly fault: string
}

export function fileHeaderFault(
  bytes: Uint8Array,
  fileNumber: number,
  storeId: Uint8Array,
): FileHeaderFault | null {
  if (bytes.byteLength < FILE_HEADER_BYTES) return { kind: 'torn', fault: 'the file header is cut short' }
  const view = viewOf(bytes)
  if (view.getUint32(0, true) !== FILE_MAGIC)
    return { kind: 'torn', fault: 'this is not a StreamBus log file' }
  if (view.getUint32(4, true) !== crc32c(bytes.subarray(8, 64)))
    return { kind: 'torn', fault: 'the file header is damaged' }
  const version = view.getUint32(8, true)
  if (version > FORMAT_VERSION) return { kind: 'newer', fault: `format version ${version}` }
  const statedNumber = getU64(view, 16)
  if (statedNumber !== fileNumber) return { kind: 'foreign', fault: `it says it is file ${statedNumber}` }
  if (!storeId.every((byte, index) => bytes[24 + index] === byte))
    return { kind: 'foreign', fault: 'it belongs to another store' }
  return null
}

/** Completes a group in place: entry table (already encoded) after the payload, zeros, then the header. */
export function finishGroup(
  group: Uint8Array,
  payloadEnd: number,
  table: Uint8Array,
  header: Omit<GroupHeader, 'lengthBytes' | 'entryCount' | 'tablePosition'>,
): number {
  const tableEnd = payloadEnd + table.byteLength
  group.set(table, payloadEnd)
  group.fill(0, tableEnd)
  const view = viewOf(group)
  view.setUint32(0, GROUP_MAGIC, true)
  view.setUint32(8, header.chain, true)
  view.setUint32(12, group.byteLength, true)
  setU64(view, 16, header.sequence)
  setU64(view, 24, header.durableSequence)
  setU64(view, 32, header.fileNumber)
  setU64(view, 40, header.writtenAtMs)
  view.setUint32(48, table.byteLength / ENTRY_BYTES, true)
  view.setUint32(52, payloadEnd, true)
  setU64(view, 56, 0)
  const crc = crc32c(group.subarray(payloadEnd, tableEnd), crc32c(group.subarray(8, GROUP_HEADER_BYTES)))
  view.setUint32(4, crc, true)
  return crc
}

/** Bytes of a group from its header, or null when there is no plausible header: a cheap test before reading on. */
export function groupLength(bytes: Uint8Array): number | null {
  if (bytes.byteLength < GROUP_HEADER_BYTES) return null
  const view = viewOf(bytes)
  if (view.getUint32(0, true) !== GROUP_MAGIC) return null
  const lengthBytes = view.getUint32(12, true)
  const entryCount = view.getUint32(48, true)
  const tablePosition = view.getUint32(52, true)
  const plausible =
    lengthBytes >= BLOCK_BYTES &&
    lengthBytes <= MAX_GROUP_BYTES &&
    lengthBytes % BLOCK_BYTES === 0 &&
    tablePosition >= GROUP_HEADER_BYTES &&
    tablePosition + entryCount * ENTRY_BYTES <= lengthBytes
  return plausible ? lengthBytes : null
}

/** Decodes header and table of a whole group and verifies their CRC. Null when they are not intact. */
export function decodeGroup(
  bytes: Uint8Array,
): { header: GroupHeader; entries: Entry[]; crc: number } | null {
  const lengthBytes = groupLength(bytes)
  if (lengthBytes === null || lengthBytes > bytes.byteLength) return null
  const view = viewOf(bytes)
  const entryCount = view.getUint32(48, true)
  const tablePosition = view.getUint32(52, true)
  const table = bytes.subarray(tablePosition, tablePosition + entryCount * ENTRY_BYTES)
  const crc = crc32c(table, crc32c(bytes.subarray(8, GROUP_HEADER_BYTES)))
  if (crc !== view.getUint32(4, true)) return null
  const header: GroupHeader = {
    chain: view.getUint32(8, true),
    lengthBytes,
    sequence: getU64(view, 16),
    durableSequence: getU64(view, 24),
    fileNumber: getU64(view, 32),
    writtenAtMs: getU64(view, 40),
    entryCount,
    tablePosition,
  }
  const entries: Entry[] = []
  for (let at = tablePosition; at < tablePosition + entryCount * ENTRY_BYTES; at += ENTRY_BYTES) {
    entries.push({
      kind: view.getUint8(at),
      logId: view.getUint32(at + 4, true),
      position: view.getUint32(at + 8, true),
      lengthBytes: view.getUint32(at + 12, true),
      baseOffset: getU64(view, at + 16),
      crc: view.getUint32(at + 24, true),
      leaderEpoch: view.getUint32(at + 28, true),
    })
  }
  return { header, entries, crc }
}

/** True when an entry's bytes are all there: position, length, and every checksum. */
export function entryIsIntact(group: Uint8Array, entry: Entry): boolean {
  const end = entry.position + entry.lengthBytes
  if (end > group.byteLength) return false
  if (entry.kind === EntryKind.event) return crc32c(group.subarray(entry.position, end)) === entry.crc
  return (
    batchHeader.magic(group, entry.position) === 2 &&
    batchHeader.baseOffset(group, entry.position) === entry.baseOffset &&
    batchHeader.batchLength(group, entry.position) + 12 === entry.lengthBytes &&
    batchHeader.partitionLeaderEpoch(group, entry.position) === entry.leaderEpoch &&
    batchHeader.crc(group, entry.position) === entry.crc &&
    crc32c(group.subarray(entry.position + 21, end)) === entry.crc
  )
}

/** The entry table of a group being filled: grows, and is reused for the next group. */
export class EntryTable {
  #bytes = new Uint8Array(64 * ENTRY_BYTES)
  #view = viewOf(this.#bytes)
  #count = 0

  get byteLength(): number {
    return this.#count * ENTRY_BYTES
  }

  add(entry: Entry): void {
    const at = this.byteLength
    if (at === this.#bytes.byteLength) {
      const larger = new Uint8Array(at * 2)
      larger.set(this.#bytes)
      this.#bytes = larger
      this.#view = viewOf(larger)
    }
    const view = this.#view
    view.setUint32(at, entry.kind, true)
    view.setUint32(at + 4, entry.logId, true)
    view.setUint32(at + 8, entry.position, true)
    view.setUint32(at + 12, entry.lengthBytes, true)
    setU64(view, at + 16, entry.baseOffset)
    view.setUint32(at + 24, entry.crc, true)
    view.setUint32(at + 28, entry.leaderEpoch, true)
    this.#count++
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.byteLength)
  }

  clear(): void {
    this.#count = 0
  }
}
