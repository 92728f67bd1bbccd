import { expect, test } from 'vitest'
import { DiskAccess } from './disk-access.ts'
import { IndexParts } from './index-parts.ts'
import type { LogFile } from './log-files.ts'

const PART_BYTES = 100

/** Each part is filled with its number. */
function indexFile() {
  const read: number[] = []
  let isBroken = false
  const readIndex = async (target: Uint8Array, position: number) => {
    read.push(position / PART_BYTES)
    if (isBroken) throw new Error('the disk is old')
    target.fill(position / PART_BYTES)
    return target.byteLength
  }
  return {
    read,
    file: { readIndex } as Partial<LogFile> as LogFile,
    setBroken(broken: boolean) {
      isBroken = broken
    },
  }
}

test('parts are read once as long as there is room, and the one used longest ago goes first', async () => {
  const { file, read } = indexFile()
  const parts = new IndexParts(3 * PART_BYTES, new DiskAccess())
  const part = async (number: number) => (await parts.read(file, number * PART_BYTES, PART_BYTES))[0]
  for (const number of [1, 2, 3, 1, 4, 1, 3]) expect(await part(number)).toBe(number)
  expect(read).toEqual([1, 2, 3, 4])
  await part(2)
  expect(read).toEqual([1, 2, 3, 4, 2])
})

test('those who want the same part at once wait for one read', async () => {
  const { file, read } = indexFile()
  const parts = new IndexParts(PART_BYTES, new DiskAccess())
  const both = [parts.read(file, 0, PART_BYTES), parts.read(file, 0, PART_BYTES)]
  const [first, second] = await Promise.all(both)
  expect(first).toBe(second)
  expect(read).toEqual([0])
})

test('a read that fails, and a part that is not what it should be, are told of and tried again', async () => {
  const { file, read, setBroken } = indexFile()
  const parts = new IndexParts(PART_BYTES, new DiskAccess())
  setBroken(true)
  await expect(parts.read(file, 0, PART_BYTES)).rejects.toThrow('the disk is old')
  setBroken(false)
  const refuse = () => {
    throw new Error('not what it should be')
  }
  await expect(parts.read(file, 0, PART_BYTES, refuse)).rejects.toThrow('not what it should be')
  expect((await parts.read(file, 0, PART_BYTES)).byteLength).toBe(PART_BYTES)
  expect(read).toEqual([0, 0, 0])
})

test('of a file that is forgotten nothing is kept, not even what is being read', async () => {
  const { file, read } = indexFile()
  const parts = new IndexParts(10 * PART_BYTES, new DiskAccess())
  await parts.read(file, 0, PART_BYTES)
  const reading = parts.read(file, PART_BYTES, PART_BYTES)
  parts.forget(file)
  expect((await reading)[0]).toBe(1)
  await parts.read(file, 0, PART_BYTES)
  await parts.read(file, PART_BYTES, PART_BYTES)
  expect(read).toEqual([0, 1, 0, 1])
})
