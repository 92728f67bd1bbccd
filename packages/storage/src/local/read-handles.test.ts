import { beforeEach, describe, expect, it } from 'vitest'
import { SeededRandom } from '../testing/seeded-random.ts'
import { SimulatedFileSystem } from '../testing/simulated-file-system.ts'
import type { FileSystem, StorageFile } from './file-system.ts'
import { ReadHandle, ReadHandles } from './read-handles.ts'

const MAX_OPEN = 3

describe('files open for reading', () => {
  let disk: SimulatedFileSystem
  let letGo: (() => void) | null

  beforeEach(() => {
    disk = new SimulatedFileSystem(new SeededRandom(1))
    letGo = null
  })

  /** One byte each: the number of the file. While `letGo` is set, reads of file 0 wait for it. */
  async function handlesOf(count: number): Promise<ReadHandle[]> {
    const open: FileSystem['open'] = async (path, options) => {
      const file = await disk.open(path, options)
      const read: StorageFile['read'] = async (target, position) => {
        if (path === '/0' && letGo !== null) {
          await new Promise<void>((resolve) => {
            letGo = resolve
          })
        }
        return await file.read(target, position)
      }
      return { read, close: () => file.close() } as Partial<StorageFile> as StorageFile
    }
    const handles = new ReadHandles({ open } as Partial<FileSystem> as FileSystem, MAX_OPEN)
    for (let number = 0; number < count; number++) {
      const options = { access: 'create', direct: false, writesAreDurable: false } as const
      const file = await disk.open(`/${number}`, options)
      await file.write(new Uint8Array([number]), 0)
      await file.close()
    }
    return Array.from({ length: count }, (_, number) => new ReadHandle(handles, `/${number}`, false))
  }

  async function numberIn(handle: ReadHandle): Promise<number> {
    const target = new Uint8Array(1)
    await handle.read(target, 0)
    return target[0]!
  }

  it('are never more than so many, and each can be read again', async () => {
    const handles = await handlesOf(10)
    for (const round of [1, 2]) {
      for (const [number, handle] of handles.entries()) {
        expect(await numberIn(handle), `round ${round}`).toBe(number)
        expect(disk.openHandles).toBeLessThanOrEqual(MAX_OPEN)
      }
    }
    for (const handle of handles) await handle.end()
    expect(disk.openHandles).toBe(0)
  })

  it('stay open while they are read', async () => {
    const handles = await handlesOf(10)
    letGo = () => {}
    const reading = numberIn(handles[0]!)
    for (const handle of handles.slice(1)) await numberIn(handle)
    const ending = handles[0]!.end()
    letGo()
    expect(await reading).toBe(0)
    await ending
    for (const handle of handles) await handle.end()
    expect(disk.openHandles).toBe(0)
  })

  it('stay open when they could not be opened again', async () => {
    const handles = await handlesOf(10)
    await handles[1]!.keepOpen()
    await disk.remove('/1')
    for (const handle of handles.slice(2)) await numberIn(handle)
    expect(await numberIn(handles[1]!)).toBe(1)
    expect(disk.openHandles).toBeLessThanOrEqual(MAX_OPEN)
    for (const handle of handles) await handle.end()
    expect(disk.openHandles).toBe(0)
  })
})
