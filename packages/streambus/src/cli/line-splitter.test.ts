import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LineSplitter } from './line-splitter.ts'

function split(chunks: readonly Buffer[]): Buffer[] {
  const splitter = new LineSplitter(1_000_000)
  const lines = chunks.flatMap((chunk) => splitter.push(chunk))
  const last = splitter.end()
  return last === undefined ? lines : [...lines, last]
}

test('lines are the same however the bytes are cut into chunks', () => {
  const chunk = fc
    .array(fc.constantFrom(0x0a, 0x0a, 0x0d, 0x00, 0xff, 0x61))
    .map((bytes) => Buffer.from(bytes))
  fc.assert(
    fc.property(fc.array(chunk), (chunks) => {
      const whole = Buffer.concat(chunks).toString('latin1')
      const expected = whole.endsWith('\n') ? whole.slice(0, -1).split('\n') : whole.split('\n')
      const lines = split(chunks).map((line) => line.toString('latin1'))
      expect(lines).toEqual(whole === '' ? [] : expected)
    }),
  )
})

test('a line that never ends is refused instead of kept', () => {
  const splitter = new LineSplitter(10)
  splitter.push(Buffer.from('12345678'))
  expect(() => splitter.push(Buffer.from('9abc'))).toThrow(RangeError)
})
