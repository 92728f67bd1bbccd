import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { apis } from './apis.ts'
import { ByteReader } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import { messageEncoder } from './message-encoder.ts'
import { wireBytes } from './testing/frame-of.ts'
import { anyMessage } from './testing/message-arbitrary.ts'

describe('ByteWriter', () => {
  test('writes the same whatever memory it starts with', () => {
    for (const { request, response } of apis) {
      for (const schema of [request, response]) {
        for (const version of [schema.minVersion, schema.maxVersion]) {
          const encode = messageEncoder(schema, version)
          fc.assert(
            fc.property(
              anyMessage(schema, version),
              fc.integer({ min: 1, max: 100 }),
              (message, capacity) => {
                const roomy = new ByteWriter(1024 * 1024)
                const cramped = new ByteWriter(capacity)
                encode(roomy, message)
                encode(cramped, message)
                expect(cramped.byteLength).toBe(roomy.byteLength)
                expect(wireBytes(cramped.parts()).equals(wireBytes(roomy.parts()))).toBe(true)
              },
            ),
            { numRuns: 15 },
          )
        }
      }
    }
  })

  test('unsigned varints of every size are read again', () => {
    const values = [0, 1, 127, 128, 16_383, 16_384, 2 ** 21 - 1, 2 ** 21, 2 ** 28 - 1, 2 ** 28, 2 ** 32 - 1]
    const writer = new ByteWriter()
    for (const value of values) writer.unsignedVarint(value)
    const reader = new ByteReader(wireBytes(writer.parts()))
    expect(values.map(() => reader.unsignedVarint())).toEqual(values)
    expect(reader.remaining).toBe(0)
  })

  test('strings around the lengths where their encoding changes are read again', () => {
    const units = ['a', 'é', '€', '😀']
    for (const flexible of [true, false]) {
      for (const length of [0, 1, 41, 42, 43, 63, 64, 126, 127, 128, 5000]) {
        for (const unit of units) {
          const text = unit.repeat(length)
          const writer = new ByteWriter(1)
          writer.string(text, flexible)
          const reader = new ByteReader(wireBytes(writer.parts()))
          expect(reader.text(reader.stringLength(flexible))).toBe(text)
          expect(reader.remaining).toBe(0)
        }
      }
    }
  })

  test('bytes inside a tagged field are counted in its size, however many there are', () => {
    for (const size of [0, 100, 5000, 20_000]) {
      const value = Buffer.alloc(size, 7)
      const writer = new ByteWriter(1)
      writer.tagged(3, () => writer.tagged(4, () => writer.bytes(value, true)))
      writer.bytes(value, true)
      const reader = new ByteReader(writer.toBytes())
      expect(reader.unsignedVarint()).toBe(3)
      const outerBytes = reader.unsignedVarint()
      const outerStart = reader.position
      expect(reader.unsignedVarint()).toBe(4)
      const innerBytes = reader.unsignedVarint()
      expect(reader.position + innerBytes).toBe(outerStart + outerBytes)
      expect(reader.view(reader.length(true)).equals(value)).toBe(true)
      expect(reader.position).toBe(outerStart + outerBytes)
      expect(reader.view(reader.length(true)).equals(value)).toBe(true)
      expect(reader.remaining).toBe(0)
    }
  })

  test('external bytes are refused where they would have to be in memory', () => {
    const external = { byteLength: 10 }
    const refused = expect.objectContaining({ code: 'INVALID_VALUE' })
    const writer = new ByteWriter()
    expect(() => writer.tagged(0, () => writer.bytes(external, true))).toThrow(refused)
    writer.reset()
    writer.bytes(external, true)
    expect(() => writer.toBytes()).toThrow(refused)
  })
})
