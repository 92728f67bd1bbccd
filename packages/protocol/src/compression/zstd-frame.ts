import { invalidData } from './codec.ts'

const frameMagic = 0xfd2fb528
const skippableMagic = 0x184d2a50
const skippableMask = 0xfffffff0
const maxBlockBytes = 128 * 1024
const rleBlock = 1
const compressedBlock = 2

export interface ZstdFrame {
  readonly start: number
  readonly end: number
  /** Size of the content if the frame says it. */
  readonly contentBytes: number | null
  /** The most the frame's blocks can hold. */
  readonly maxContentBytes: number
}

/**
 * Walks the frames of zstd-compressed bytes (RFC 8878, 3.1) without decompressing, so that the memory they
 * may take is known before any is allocated. Skippable frames are left out.
 */
export function zstdFrames(bytes: Uint8Array): ZstdFrame[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const frames: ZstdFrame[] = []
  let at = 0
  const take = (length: number): number => {
    const start = at
    if (length > bytes.length - start) throw invalidData('zstd', 'truncated frame')
    at = start + length
    return start
  }
  if (bytes.length === 0) throw invalidData('zstd', 'no bytes')
  while (at < bytes.length) {
    const start = at
    const magic = view.getUint32(take(4), true)
    if ((magic & skippableMask) >>> 0 === skippableMagic) {
      take(view.getUint32(take(4), true))
      continue
    }
    if (magic !== frameMagic) throw invalidData('zstd', 'not a frame')

    const descriptor = bytes[take(1)]!
    const singleSegment = (descriptor & 0x20) !== 0
    if (!singleSegment) take(1)
    take([0, 1, 2, 4][descriptor & 3]!)
    const contentBytes = readContentBytes(view, descriptor >> 6, singleSegment, take)

    let maxContentBytes = 0
    for (let last = false; !last; ) {
      const header = take(3)
      const field = bytes[header]! | (bytes[header + 1]! << 8) | (bytes[header + 2]! << 16)
      last = (field & 1) === 1
      const type = (field >> 1) & 3
      const size = field >> 3
      if (type > compressedBlock || size > maxBlockBytes) throw invalidData('zstd', 'damaged frame')
      take(type === rleBlock ? 1 : size)
      maxContentBytes += type === compressedBlock ? maxBlockBytes : size
    }
    if ((descriptor & 4) !== 0) take(4)
    if (contentBytes !== null && contentBytes > maxContentBytes) {
      throw invalidData('zstd', `a frame that cannot hold ${contentBytes} bytes announces them`)
    }
    frames.push({ start, end: at, contentBytes, maxContentBytes })
  }
  return frames
}

function readContentBytes(
  view: DataView,
  sizeFlag: number,
  singleSegment: boolean,
  take: (length: number) => number,
): number | null {
  switch (sizeFlag) {
    case 0:
      return singleSegment ? view.getUint8(take(1)) : null
    case 1:
      return view.getUint16(take(2), true) + 256
    case 2:
      return view.getUint32(take(4), true)
    default:
      return Number(view.getBigUint64(take(8), true))
  }
}
