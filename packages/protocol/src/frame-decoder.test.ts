import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FrameDecoder } from './frame-decoder.ts'
import { ProtocolError } from './protocol-error.ts'

function withLength(payload: Uint8Array): Buffer {
  const length = Buffer.alloc(4)
  length.writeInt32BE(payload.length)
  return Buffer.concat([length, payload])
}

function lengthOnly(length: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(length)
  return bytes
}

function decodeAll(decoder: FrameDecoder, chunks: Iterable<Uint8Array>): Buffer[] {
  const frames: Buffer[] = []
  for (const chunk of chunks) decoder.push(chunk, (frame) => frames.push(Buffer.from(frame)))
  return frames
}

const ignore = (): void => {}

describe('FrameDecoder', () => {
  test('gives the same frames however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 20 }),
        (payloads, sizes) => {
          const stream = Buffer.concat(payloads.map(withLength))
          const chunks: Buffer[] = []
          for (let at = 0, i = 0; at < stream.length; i++) {
            const size = sizes[i % sizes.length]!
            chunks.push(stream.subarray(at, at + size))
            at += size
          }
          const decoder = new FrameDecoder({ maxFrameBytes: 100 })
          expect(decodeAll(decoder, chunks)).toEqual(payloads.map((payload) => Buffer.from(payload)))
          expect(decoder.bufferedBytes).toBe(0)
        },
      ),
    )
  })

  test('puts a frame of megabytes together from small chunks', () => {
    const payload = Buffer.alloc(3_000_000, 'abcdefg')
    const stream = withLength(payload)
    const chunks = Array.from({ length: Math.ceil(stream.length / 65_536) }, (_, i) =>
      stream.subarray(i * 65_536, (i + 1) * 65_536),
    )
    const [frame, ...others] = decodeAll(new FrameDecoder({ maxFrameBytes: 4_000_000 }), chunks)
    expect(others).toEqual([])
    expect(frame!.equals(payload)).toBe(true)
  })

  test('hands on a frame inside one chunk as a view of it', () => {
    const chunk = withLength(Buffer.from('hello'))
    new FrameDecoder({ maxFrameBytes: 100 }).push(chunk, (frame) => expect(frame.buffer).toBe(chunk.buffer))
  })

  test('keeps no chunk: the caller may use its memory again', () => {
    const decoder = new FrameDecoder({ maxFrameBytes: 100 })
    const chunk = Buffer.from(withLength(Buffer.from('hello')).subarray(0, 6))
    decoder.push(chunk, ignore)
    chunk.fill(0)
    expect(decodeAll(decoder, [Buffer.from('llo')])).toEqual([Buffer.from('hello')])
  })

  test('counts the bytes it holds', () => {
    const decoder = new FrameDecoder({ maxFrameBytes: 100 })
    decoder.push(lengthOnly(50).subarray(0, 3), ignore)
    expect(decoder.bufferedBytes).toBe(3)
    decoder.push(Buffer.concat([lengthOnly(50).subarray(3), Buffer.alloc(20)]), ignore)
    expect(decoder.bufferedBytes).toBe(20)
    decoder.push(Buffer.alloc(30), ignore)
    expect(decoder.bufferedBytes).toBe(0)
  })

  test('holds no memory for bytes that were only announced', () => {
    const before = process.memoryUsage().arrayBuffers
    const decoders = Array.from({ length: 10 }, () => new FrameDecoder({ maxFrameBytes: 2 ** 30 }))
    for (const decoder of decoders) decoder.push(lengthOnly(100 * 1024 * 1024), ignore)
    for (const decoder of decoders) decoder.push(Buffer.alloc(1000), ignore)
    const held = process.memoryUsage().arrayBuffers - before
    expect(held).toBeLessThan(10 * 1024 * 1024)
    expect(decoders[0]!.bufferedBytes).toBe(1000)
  })

  test.each([
    ['a longer frame than accepted', 101, 'FRAME_TOO_LARGE'],
    ['a negative length', -1, 'INVALID_LENGTH'],
    ['an HTTP request', Buffer.from('GET ').readInt32BE(), 'FRAME_TOO_LARGE'],
    ['a TLS hello', Buffer.from([0x16, 3, 1, 2]).readInt32BE(), 'FRAME_TOO_LARGE'],
  ])('refuses %s, in one piece and in two', (_name, length, code) => {
    for (const cut of [0, 2]) {
      const decoder = new FrameDecoder({ maxFrameBytes: 100 })
      const bytes = lengthOnly(length)
      const push = (): void => {
        decoder.push(bytes.subarray(0, cut), ignore)
        decoder.push(bytes.subarray(cut), ignore)
      }
      expect(push).toThrow(ProtocolError)
      expect(push).toThrow(expect.objectContaining({ code }))
    }
  })

  test('an empty frame is a frame', () => {
    expect(decodeAll(new FrameDecoder({ maxFrameBytes: 0 }), [lengthOnly(0)])).toEqual([Buffer.alloc(0)])
  })
})
