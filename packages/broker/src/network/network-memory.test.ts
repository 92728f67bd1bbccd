import { expect, test } from 'vitest'
import { CapturedLog } from '../testing/captured-log.ts'
import { FrameMemory } from './frame-memory.ts'
import { PeerComplaints } from './peer-complaints.ts'
import { ResponsePieces } from './response-pieces.ts'

const MEBIBYTE = 1024 * 1024

test('response pieces get smaller as more are lent, and never exceed the bound', async () => {
  const pieces = new ResponsePieces(MEBIBYTE)
  const lent: Buffer[] = []
  for (;;) {
    const piece = pieces.borrow()
    if (piece instanceof Promise) {
      lent[0]!.fill(7)
      const first = lent.shift()!
      pieces.giveBack(first)
      expect((await piece).byteLength).toBeLessThanOrEqual(first.byteLength)
      break
    }
    lent.push(piece)
  }
  const sizes = new Set(lent.map(({ byteLength }) => byteLength))
  expect([...sizes]).toEqual([256 * 1024, 32 * 1024, 4 * 1024])
  expect(pieces.lentBytes).toBeLessThanOrEqual(MEBIBYTE)
  expect(lent.length).toBeGreaterThan(70)
})

test('those who wait for a piece are served in order', async () => {
  const pieces = new ResponsePieces(8 * 1024)
  const held = [await pieces.borrow(), await pieces.borrow()]
  const order: string[] = []
  const waiting = ['first', 'second'].map(async (name) => {
    await pieces.borrow()
    order.push(name)
  })
  for (const piece of held) pieces.giveBack(piece)
  await Promise.all(waiting)
  expect(order).toEqual(['first', 'second'])
})

test('frame memory is used again, whole or by any view of it, and its free part is bounded', () => {
  const memory = new FrameMemory()
  const first = memory.allocate(100_000, 900_000)
  expect(first.byteLength).toBe(272 * 1024)
  memory.giveBack(first.subarray(10, 20))
  expect(memory.allocate(200_000, 200_000).buffer).toBe(first.buffer)
  // A size that is useful and ready is given at once, so that nothing needs to be copied later.
  const large = memory.allocate(MEBIBYTE, MEBIBYTE)
  memory.giveBack(large)
  expect(memory.allocate(100, MEBIBYTE).buffer).toBe(large.buffer)
  memory.giveBack(Buffer.alloc(272 * 1024))
  expect(memory.allocate(50 * MEBIBYTE, 50 * MEBIBYTE).byteLength).toBe(50 * MEBIBYTE)
})

test('complaints are bounded in time, and what was left out is told', () => {
  const log = new CapturedLog()
  let nowMs = 1000
  const complaints = new PeerComplaints(log, () => nowMs)
  for (let i = 0; i < 100; i++) complaints.write('10.0.0.1:1', 'it sent garbage')
  expect(log.lines).toHaveLength(20)
  nowMs += 10_000
  complaints.write('10.0.0.1:2', 'it sent garbage')
  expect(log.lines).toHaveLength(21)
  expect(log.lines.at(-1)!.fields).toEqual({ peer: '10.0.0.1:2', suppressedLines: 80 })
})
