import { describe, expect, it } from 'vitest'
import { readWhole, type Transfer, writeWhole } from './whole-transfers.ts'

describe('a transfer that the system does in parts', () => {
  const content = Uint8Array.from({ length: 10 }, (_, index) => index)

  it('is read on to the end of what was asked for, or of the file', async () => {
    const read: Transfer = (target, position, done) => {
      const part = content.subarray(position, position + Math.min(3, target.byteLength))
      target.set(part)
      done(null, part.byteLength)
    }
    const target = new Uint8Array(5)
    expect(await readWhole(read, target, 2)).toBe(5)
    expect([...target]).toEqual([2, 3, 4, 5, 6])
    expect(await readWhole(read, target, 8)).toBe(2)
  })

  it('is written on until all is written, each part where it belongs', async () => {
    const written: [number, number[]][] = []
    const write: Transfer = (bytes, position, done) => {
      const part = bytes.subarray(0, 4)
      written.push([position, [...part]])
      done(null, part.byteLength)
    }
    await writeWhole(write, content, 100)
    expect(written).toEqual([
      [100, [0, 1, 2, 3]],
      [104, [4, 5, 6, 7]],
      [108, [8, 9]],
    ])
  })

  it('fails with what failed, and when nothing is written and no reason is told', async () => {
    const failing: Transfer = (_, position, done) =>
      position === 0
        ? done(null, 4)
        : done(Object.assign(new Error('ENOSPC: no room'), { code: 'ENOSPC' }), 0)
    await expect(writeWhole(failing, content, 0)).rejects.toMatchObject({ code: 'ENOSPC' })
    await expect(writeWhole((_, __, done) => done(null, 0), content, 0)).rejects.toMatchObject({
      code: 'EIO',
    })
  })
})
