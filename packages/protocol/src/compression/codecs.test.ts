import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type CompressionName, compressionIds, compressionNames, loadCodec, loadedCodec } from './codec.ts'
import { gzip } from './gzip.ts'
import { loadLz4, portableLz4 } from './lz4.ts'
import { loadNativeSnappy, portableSnappy, xerialSnappy } from './snappy.ts'
import { loadWasmZstd, nativeZstd } from './zstd.ts'

interface Implementation {
  compress(bytes: Uint8Array, level?: number): Uint8Array
  decompress(bytes: Uint8Array, maxBytes: number): Uint8Array
}

const nativeSnappy = loadNativeSnappy()
const ownZstd = nativeZstd()

/** Every implementation that runs here; those of one codec must read each other. */
const implementations: Record<Exclude<CompressionName, 'none'>, Record<string, Implementation>> = {
  gzip: { zlib: gzip },
  snappy: {
    portable: xerialSnappy(portableSnappy),
    ...(nativeSnappy === null ? {} : { native: xerialSnappy(nativeSnappy) }),
  },
  lz4: { portable: portableLz4, native: loadLz4() },
  zstd: { wasm: await loadWasmZstd(), ...(ownZstd === null ? {} : { node: ownZstd }) },
}

/** Those that can work in another thread: what they do there must be the same. */
const asides = [gzip, ownZstd].flatMap((codec) => codec?.aside ?? [])

const maxBytes = 1024 * 1024

const pairs = Object.entries(implementations).flatMap(([codec, byName]) =>
  Object.entries(byName).flatMap(([writer, { compress }]) =>
    Object.entries(byName).map(
      ([reader, { decompress }]) => [codec, writer, reader, compress, decompress] as const,
    ),
  ),
)

const all = Object.entries(implementations).flatMap(([codec, byName]) =>
  Object.entries(byName).map(([name, implementation]) => [codec, name, implementation] as const),
)

/** Content of the kinds that matter to a compressor: random, repeating, and both mixed. */
const anyContent = fc.oneof(
  fc.uint8Array({ maxLength: 500 }),
  fc
    .tuple(fc.string({ minLength: 1, maxLength: 20 }), fc.nat(5000))
    .map(([unit, size]) => Buffer.alloc(size, unit)),
  fc
    .array(fc.oneof(fc.uint8Array({ maxLength: 70 }), fc.constant(Buffer.alloc(90, 'abc'))), {
      maxLength: 60,
    })
    .map((pieces) => Buffer.concat(pieces)),
)

const large = Buffer.concat(
  Array.from({ length: 20_000 }, (_, i) => Buffer.from(`{"id":${i},"name":"user-${(i * 7919) % 1000}"}\n`)),
)
const incompressible = Buffer.from(
  Array.from({ length: 200_000 }, (_, i) => Math.imul(i ^ (i >>> 3), 0x9e3779b1) >>> 24),
)

describe.each(pairs)('%s written by %s and read by %s', (_codec, _writer, _reader, compress, decompress) => {
  test('any content comes back', () => {
    fc.assert(
      fc.property(anyContent, (content) => {
        expect(Buffer.from(decompress(compress(content), maxBytes)).equals(content)).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  test.each([
    ['large', large],
    ['incompressible', incompressible],
    ['one byte', Buffer.from('x')],
    ['a view into another buffer', large.subarray(1001, 70_003)],
  ])('%s content comes back', (_name, content) => {
    expect(Buffer.from(decompress(compress(content), maxBytes)).equals(content)).toBe(true)
  })
})

describe.each(all)('%s (%s)', (_codec, _name, { compress, decompress }) => {
  test('compresses what can be compressed', () => {
    expect(compress(large).length).toBeLessThan(large.length / 2)
  })

  test('accepts content of exactly the limit and refuses one byte more', () => {
    const compressed = compress(large)
    expect(decompress(compressed, large.length)).toHaveLength(large.length)
    expect(() => decompress(compressed, large.length - 1)).toThrow(
      expect.objectContaining({ code: 'COMPRESSED_TOO_LARGE' }),
    )
  })

  test('a bomb is refused without the memory it asks for', () => {
    const bomb = compress(Buffer.alloc(30_000_000))
    const before = process.memoryUsage().arrayBuffers
    expect(() => decompress(bomb, 10_000)).toThrow(expect.objectContaining({ code: 'COMPRESSED_TOO_LARGE' }))
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(5_000_000)
  })

  test('truncated data is refused', () => {
    const compressed = compress(large)
    for (const length of [0, 1, 5, 17, 100, compressed.length - 1]) {
      expect(() => decompress(compressed.subarray(0, length), maxBytes)).toThrow(
        expect.objectContaining({ code: 'INVALID_COMPRESSED_DATA' }),
      )
    }
  })
})

describe('in another thread', () => {
  test.each(asides)('content comes back, and is bounded', async ({ compress, decompress }) => {
    const compressed = await compress(large)
    expect(Buffer.from(await decompress(compressed, large.length)).equals(large)).toBe(true)
    await expect(decompress(compressed, large.length - 1)).rejects.toMatchObject({
      code: 'COMPRESSED_TOO_LARGE',
    })
    await expect(decompress(compressed.subarray(0, -1), maxBytes)).rejects.toMatchObject({
      code: 'INVALID_COMPRESSED_DATA',
    })
    expect((await compress(large, 1)).length).toBeGreaterThan((await compress(large, 9)).length)
  })
})

describe.each([
  ['gzip', gzip, [-1, 1, 9]] as const,
  ...Object.entries(implementations.zstd).map(
    ([name, codec]) => [`zstd (${name})`, codec, [-131_072, -1, 1, 22]] as const,
  ),
])('levels of %s', (_name, { compress, decompress }, levels) => {
  test.each(levels)('level %i is read like every other', (level) => {
    expect(Buffer.from(decompress(compress(large, level), maxBytes)).equals(large)).toBe(true)
  })

  test('a higher level takes less room', () => {
    expect(compress(large, 9).length).toBeLessThan(compress(large, 1).length)
  })
})

describe('loadCodec', () => {
  test('a codec must be loaded before it is used', async () => {
    expect(() => loadedCodec(1)).toThrow(expect.objectContaining({ code: 'CODEC_NOT_LOADED' }))
    const codec = await loadCodec('gzip')
    expect(codec).toMatchObject({ id: 1, name: 'gzip' })
    expect(loadedCodec(1)).toBe(codec)
    expect(await loadCodec(1)).toBe(codec)
  })

  test('loads every codec by name and by id', async () => {
    for (const name of compressionNames) {
      const codec = await loadCodec(name)
      expect(codec).toBe(await loadCodec(compressionIds[name]))
      expect(Buffer.from(codec.decompress(codec.compress(large), maxBytes)).equals(large)).toBe(true)
    }
  })

  test('an unknown codec is refused', async () => {
    await expect(loadCodec(5)).rejects.toMatchObject({ code: 'UNKNOWN_CODEC' })
    await expect(loadCodec('brotli' as CompressionName)).rejects.toMatchObject({ code: 'UNKNOWN_CODEC' })
    expect(() => loadedCodec(7)).toThrow(expect.objectContaining({ code: 'UNKNOWN_CODEC' }))
  })
})

describe('gzip', () => {
  test('several members are read', () => {
    const member = gzip.compress(Buffer.from('hello'))
    expect(Buffer.from(gzip.decompress(Buffer.concat([member, member]), maxBytes)).toString()).toBe(
      'hellohello',
    )
  })
})

describe('snappy', () => {
  test.each(Object.entries(implementations.snappy))(
    'raw blocks without framing are read (%s)',
    (_name, { decompress }) => {
      const raw = portableSnappy.compress(large)
      expect(Buffer.from(decompress(raw, maxBytes)).equals(large)).toBe(true)
    },
  )

  test('a block that announces more than it can hold is refused', () => {
    const block = Buffer.from([0xff, 0xff, 0xff, 0x7f, 0, 0x61])
    for (const { decompress } of Object.values(implementations.snappy)) {
      expect(() => decompress(block, 2 ** 30)).toThrow(
        expect.objectContaining({ code: 'INVALID_COMPRESSED_DATA' }),
      )
    }
  })
})

describe('lz4', () => {
  test('blocks that refer to earlier blocks, checksums and a content size are read', () => {
    // Written by the lz4 1.9.4 command: lz4 -BD -B4 --content-size -BX, 70,000 times "a" and "b" in turn.
    const written = Buffer.from(
      '04224d185c407011010000000000e30c0100002f61620200' +
        'ff'.repeat(256) +
        'e65062616261621af884291d0000002f61620200' +
        'ff'.repeat(17) +
        '67506261626162f273c17100000000f1e19f50',
      'hex',
    )
    expect(Buffer.from(portableLz4.decompress(written, maxBytes)).equals(Buffer.alloc(70_000, 'ab'))).toBe(
      true,
    )
  })

  test('skippable frames and several frames are read', () => {
    const skippable = Buffer.from('502a4d1803000000010203', 'hex')
    const frame = portableLz4.compress(Buffer.from('hello'))
    const both = Buffer.concat([skippable, frame, skippable, frame])
    expect(Buffer.from(portableLz4.decompress(both, maxBytes)).toString()).toBe('hellohello')
  })
})

describe('zstd', () => {
  test.each(Object.entries(implementations.zstd))(
    'several frames are read (%s)',
    (_name, { compress, decompress }) => {
      const frame = compress(Buffer.from('hello'))
      expect(Buffer.from(decompress(Buffer.concat([frame, frame]), maxBytes)).toString()).toBe('hellohello')
    },
  )

  test.each(Object.entries(implementations.zstd))(
    'a frame that holds more than it announces is damaged, not too large (%s)',
    (_name, { decompress }) => {
      // Single segment, content size 1, one raw block of two bytes.
      const frame = Buffer.from('28b52ffd2001' + '110000' + '6161', 'hex')
      expect(() => decompress(frame, maxBytes)).toThrow(
        expect.objectContaining({ code: 'INVALID_COMPRESSED_DATA' }),
      )
    },
  )

  test.each(Object.entries(implementations.zstd))(
    'a frame that announces more than it holds is refused (%s)',
    (_name, { decompress }) => {
      // Single segment, content size 2^40, one raw block of one byte.
      const frame = Buffer.from('28b52ffde0' + '0000000000010000' + '09000061', 'hex')
      expect(() => decompress(frame, 2 ** 41)).toThrow(
        expect.objectContaining({ code: 'INVALID_COMPRESSED_DATA' }),
      )
    },
  )
})
