import { describe, expect, it } from 'vitest'
import { appendOne, batchOf, batchOfSize } from '../testing/batches.ts'
import { SeededRandom } from '../testing/seeded-random.ts'
import { SimulatedFileSystem } from '../testing/simulated-file-system.ts'
import type { RemovalPace } from './file-removal.ts'
import { LocalLogStore } from './local-log-store.ts'
import { LogFile, LogFileFactory, logFileName } from './log-files.ts'
import { ReadHandles } from './read-handles.ts'
import { WorkShare } from './work-share.ts'

const PACE: RemovalPace = {
  share: new WorkShare(() => 0),
  stepBytes: 1e9,
  isHurried: () => false,
  syncFolder: () => Promise.resolve(),
}

describe('a log file that is removed', () => {
  const path = '/data/log/00000000000000000001.log'

  it('can be let go by its last reader while it is opened for that one, also when that fails', async () => {
    const fileSystem = new SimulatedFileSystem(new SeededRandom(1))
    await (await fileSystem.open(path, { access: 'create', direct: false, writesAreDurable: false })).close()
    const file = new LogFile(new ReadHandles(fileSystem), path, 1, false, 0, 0)
    file.hold()
    fileSystem.failOne('open', 1)
    const removal = file.remove(PACE)
    // A rejection that nobody waits for would end the process, and this test.
    file.release()
    await expect(removal).rejects.toMatchObject({ code: 'EIO' })
    await file.remove(PACE)
    expect(fileSystem.filesIn('/data')).toEqual([])
    expect(fileSystem.openHandles).toBe(0)
  })

  /** What is done to remove a file. */
  async function stepsOf(pace: Partial<RemovalPace>, sizeBytes = 10_000): Promise<string[]> {
    const fileSystem = new SimulatedFileSystem(new SeededRandom(1))
    await fileSystem.makeFolder('/data/log')
    const options = { access: 'create', direct: false, writesAreDurable: false } as const
    const created = await fileSystem.open(path, options)
    await created.write(new Uint8Array(sizeBytes), 0)
    await created.close()
    const file = new LogFile(new ReadHandles(fileSystem), path, 1, false, sizeBytes, sizeBytes)
    const before = fileSystem.trace.length
    const syncFolder = () => fileSystem.syncFolder('/data/log')
    await file.remove({ ...PACE, stepBytes: 4_000, syncFolder, ...pace })
    expect(fileSystem.filesIn('/data')).toEqual([])
    expect(fileSystem.openHandles).toBe(0)
    return fileSystem.trace.slice(before).filter((line) => /^(remove|truncate|sync folder|pause)/.test(line))
  }

  const gone = [`remove ${path}`, 'sync folder /data/log']
  const index = expect.stringMatching(/^remove .*\.index: ENOENT/)

  it('shrinks in steps when its name is gone, and is left whole as soon as somebody waits for it', async () => {
    expect(await stepsOf({})).toEqual([...gone, `truncate ${path} 6000`, `truncate ${path} 2000`, index])
    let looks = 0
    expect(await stepsOf({ isHurried: () => ++looks > 2 })).toEqual([...gone, `truncate ${path} 6000`, index])
    expect(await stepsOf({ isHurried: () => true })).toEqual([`remove ${path}`, index])
  })

  it('shrinks in larger steps where the turns of the event loop are long', async () => {
    let nowMs = 0
    const share = new WorkShare(() => {
      nowMs += 2
      return nowMs
    })
    // The first step shows how long a turn is: so four times as much may be done in one.
    const steps = await stepsOf({ stepBytes: 40_000, share }, 400_000)
    expect(steps.filter((step) => step.startsWith('truncate'))).toEqual(
      [360_000, 200_000, 40_000].map((size) => `truncate ${path} ${size}`),
    )
  })

  it('rests after the steps in which something was appended', async () => {
    // Before and after each of four steps.
    const counts = [0, 0, 0, 1, 1, 3, 3, 3]
    const share = Object.defineProperty(new WorkShare(() => 0), 'appends', { get: () => counts.shift()! })
    const steps = await stepsOf({ stepBytes: 2_000, share })
    expect(steps.map((step) => step.split(' ')[0])).toEqual([
      ...['remove', 'sync', 'truncate', 'truncate', 'pause', 'truncate', 'pause', 'truncate', 'remove'],
    ])
  })

  for (const seed of [1, 2]) {
    it(`gets no index any more (seed ${seed})`, async () => {
      const fileSystem = new SimulatedFileSystem(new SeededRandom(seed))
      const options = { dataDir: '/data', fileSystem, cacheBytes: 64 * 1024, fileBytes: 32 * 1024 }
      const store = await LocalLogStore.open(options)
      const { id, logs } = await store.createTopic({ name: 'passing', partitions: 1 })
      const kept = await store.createTopic({ name: 'kept', partitions: 1 })
      const appends = Array.from({ length: 40 }, () => appendOne(store, logs[0]!, batchOfSize(8000, 'v;')))
      await Promise.all(appends)
      await store.deleteTopic(id)
      await appendOne(store, kept.logs[0]!, batchOf(['after']))
      await store.maintain({ maxBytes: 1e9 })
      await store.close()
      const names = fileSystem.filesIn('/data/log')
      const orphans = names.filter(
        (name) => name.endsWith('.index') && !names.includes(name.replace(/index$/, 'log')),
      )
      expect(orphans).toEqual([])
    })
  }
})

describe('the syncs of a log folder', () => {
  const folder = '/data/log'

  async function factoryOn(fileSystem: SimulatedFileSystem): Promise<LogFileFactory> {
    await fileSystem.makeFolder(folder)
    return new LogFileFactory({ fileSystem, folder, storeId: new Uint8Array(16), durable: true })
  }

  it('come one after the other, and none succeeds after one that failed', async () => {
    const fileSystem = new SimulatedFileSystem(new SeededRandom(1))
    const files = await factoryOn(fileSystem)
    const failures: unknown[] = []
    files.syncFailed = (error) => failures.push(error)
    fileSystem.failOne('sync folder', 2)
    const results = await Promise.allSettled(Array.from({ length: 4 }, () => files.syncFolder()))
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'rejected'])
    await expect(files.syncFolder()).rejects.toMatchObject({
      code: 'WRITER_FAILED',
      message: expect.stringContaining(`syncing ${folder} failed: Error: EIO`),
    })
    expect(failures).toHaveLength(1)
    expect(fileSystem.trace.filter((line) => line.startsWith(`sync folder ${folder}`))).toHaveLength(2)
  })

  it('go on after one for which the folder could not be opened', async () => {
    const fileSystem = new SimulatedFileSystem(new SeededRandom(1))
    const files = await factoryOn(fileSystem)
    const { syncFolder } = fileSystem
    fileSystem.syncFolder = () => Promise.reject(Object.assign(new Error('EMFILE'), { code: 'EMFILE' }))
    await expect(files.syncFolder()).rejects.toMatchObject({ code: 'EMFILE' })
    fileSystem.syncFolder = syncFolder
    await files.syncFolder()
  })

  it('leave a removed file whole where its name may come back', async () => {
    let returned = 0
    for (let seed = 1; seed <= 100; seed++) {
      const fileSystem = new SimulatedFileSystem(new SeededRandom(seed))
      const files = await factoryOn(fileSystem)
      const { file, handle } = await files.create(1, 0)
      await handle.write(new Uint8Array(28 * 1024), 4096)
      await handle.close()
      file.endPosition = 32 * 1024
      fileSystem.failOne('sync folder', 1)
      const other = files.create(2, 0)
      const pace = { ...PACE, stepBytes: 8 * 1024, syncFolder: () => files.syncFolder() }
      const [created] = await Promise.allSettled([other, file.remove(pace)])
      expect(created.status).toBe('rejected')
      const afterPowerFailure = fileSystem.restart(true)
      if (!(await afterPowerFailure.list(folder)).includes(logFileName(1))) continue
      returned++
      const options = { access: 'read', direct: false, writesAreDurable: false } as const
      const found = await afterPowerFailure.open(file.path, options)
      expect(await found.sizeBytes(), `seed ${seed}`).toBe(32 * 1024)
    }
    expect(returned).toBeGreaterThan(10)
  })
})
