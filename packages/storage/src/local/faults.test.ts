import { describe, expect, it } from 'vitest'
import { KEEP_EVERYTHING, type LogId } from '../log-store.ts'
import { appendOne, batchOf, batchOfSize, bytesOf, codeOf, recordsIn, valuesOf } from '../testing/batches.ts'
import { SeededRandom } from '../testing/seeded-random.ts'
import { SimulatedFileSystem } from '../testing/simulated-file-system.ts'
import type { OpenOptions, StorageFile } from './file-system.ts'
import { LocalLogStore, type LocalLogStoreOptions } from './local-log-store.ts'

const SMALL = { cacheBytes: 64 * 1024, fileBytes: 32 * 1024 } as const

async function open(
  fileSystem: SimulatedFileSystem,
  options: Partial<LocalLogStoreOptions> = {},
): Promise<LocalLogStore> {
  return LocalLogStore.open({ dataDir: '/data', fileSystem, ...SMALL, ...options })
}

async function withTopic(seed: number, options: Partial<LocalLogStoreOptions> = {}) {
  const fileSystem = new SimulatedFileSystem(new SeededRandom(seed))
  const store = await open(fileSystem, options)
  const { id, logs } = await store.createTopic({ name: 'words', partitions: 1 })
  return { fileSystem, store, id, log: logs[0]! }
}

/** The process may not have more files open. */
class FewFiles extends SimulatedFileSystem {
  isOut = false

  override open(path: string, options: OpenOptions): Promise<StorageFile> {
    if (!this.isOut) return super.open(path, options)
    return Promise.reject(Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' }))
  }
}

/** What is renamed in the data folder is not made durable, and a later sync says nothing of it. */
class ForgetfulFolder extends SimulatedFileSystem {
  isForgetful = false

  override async syncFolder(folder: string): Promise<void> {
    if (!this.isForgetful || folder !== '/data') return await super.syncFolder(folder)
    this.forgetNames(folder)
    throw Object.assign(new Error(`EIO: fsync '${folder}'`), { code: 'EIO' })
  }
}

/** Writes to log files end when they are told to. */
class HeldWrites extends SimulatedFileSystem {
  isHolding = false
  readonly held: { readonly write: () => Promise<void>; readonly end: (error: unknown) => void }[] = []

  override async open(path: string, options: OpenOptions): Promise<StorageFile> {
    const file = await super.open(path, options)
    return {
      ...file,
      write: async (bytes, position) => {
        if (!this.isHolding || !path.endsWith('.log')) return await file.write(bytes, position)
        const write = () => file.write(Uint8Array.from(bytes), position)
        await new Promise<void>((_, end) => this.held.push({ write, end }))
      },
    }
  }

  async untilHeld(count: number): Promise<void> {
    while (this.held.length < count) await new Promise((resolve) => setImmediate(resolve))
  }
}

function produced(sequence: number): Uint8Array {
  return batchOf([`p${sequence}`], { producerId: 5, producerEpoch: 0, baseSequence: sequence })
}

describe('LocalLogStore on a failing disk', () => {
  it('answers DISK_FULL while there is no room, reads on, and goes on without a gap', async () => {
    const { fileSystem, store, log } = await withTopic(1, { fileBytes: 1024 ** 2 })
    for (let sequence = 0; sequence < 3; sequence++) await appendOne(store, log, produced(sequence))
    fileSystem.limitRoom(0)
    const calls = Array.from({ length: 8 }, (_, index) =>
      store.append([{ logId: log, bytes: batchOfSize(5000, `large${index};`) }]),
    )
    for (const [result] of await Promise.all(calls)) {
      expect(result?.error).toMatchObject({ code: 'DISK_FULL', inDoubt: false })
    }
    const [refused] = await store.append([{ logId: log, bytes: produced(3) }])
    expect(refused?.error).toMatchObject({ code: 'DISK_FULL', inDoubt: false })
    expect(await codeOf(store.createTopic({ name: 'more', partitions: 1 }))).toBe('DISK_FULL')
    expect(store.topics.byName('more')).toBeUndefined()
    expect(await valuesOf(store, log)).toEqual(['p0', 'p1', 'p2'])
    const [known] = await store.producers(log)
    expect(known).toMatchObject({ lastSequence: 2, lastOffset: 2 })

    fileSystem.liftLimit()
    expect(await appendOne(store, log, produced(3))).toMatchObject({ baseOffset: 3, duplicate: false })
    expect(await appendOne(store, log, produced(3))).toMatchObject({ baseOffset: 3, duplicate: true })
    await store.createTopic({ name: 'more', partitions: 1 })
    const again = await open(fileSystem.restart(true))
    expect(await valuesOf(again, log)).toEqual(['p0', 'p1', 'p2', 'p3'])
    await again.close()
  })

  it('takes no later batch of a new producer while the first one found no room', async () => {
    const { fileSystem, store, log } = await withTopic(15, { prepareFiles: 'never' })
    const producer = { producerId: 5, producerEpoch: 0 }
    const first = batchOfSize(9000, 'first;', { ...producer, baseSequence: 0 })
    const second = batchOf(['second;'], { ...producer, baseSequence: 1 })
    // Enough for the second one.
    fileSystem.limitRoom(4096)
    const [refused] = await store.append([{ logId: log, bytes: first }])
    expect(refused?.error?.code).toBe('DISK_FULL')
    const [early] = await store.append([{ logId: log, bytes: second }])
    expect(early?.error?.code).toBe('OUT_OF_ORDER_SEQUENCE')
    fileSystem.liftLimit()
    expect((await appendOne(store, log, first)).baseOffset).toBe(0)
    expect((await appendOne(store, log, second)).baseOffset).toBe(1)
    await store.close()
  })

  it('answers DISK_FULL when there is no room for the next file', async () => {
    const { fileSystem, store, log } = await withTopic(2)
    let count = 0
    // The first file's last blocks, and none for a header.
    fileSystem.limitRoom(32 * 1024 - 2 * 4096)
    for (;;) {
      const [result] = await store.append([{ logId: log, bytes: batchOfSize(2000, `v${count};`) }])
      if (result?.error !== null) {
        expect(result?.error.code).toBe('DISK_FULL')
        break
      }
      count++
    }
    fileSystem.liftLimit()
    for (let index = 0; index < 5; index++) {
      expect((await appendOne(store, log, batchOf([`after${index};`]))).baseOffset).toBe(count + index)
    }
    expect(await valuesOf(store, log)).toHaveLength(count + 5)
    await store.close()
    const again = await open(fileSystem)
    expect(await valuesOf(again, log)).toHaveLength(count + 5)
    await again.close()
    expect(fileSystem.openHandles).toBe(0)
  })

  it('refuses appends while no file can be opened for the next ones, and goes on when one can', async () => {
    const fileSystem = new FewFiles(new SeededRandom(13))
    const store = await open(fileSystem, { prepareFiles: 'never' })
    const { logs } = await store.createTopic({ name: 'words', partitions: 1 })
    const log = logs[0]!
    fileSystem.isOut = true
    let count = 0
    for (;;) {
      const [result] = await store.append([{ logId: log, bytes: batchOfSize(5000, `v${count};`) }])
      if (result?.error !== null) {
        expect(result?.error).toMatchObject({ code: 'DISK_FULL', inDoubt: false })
        break
      }
      count++
    }
    fileSystem.isOut = false
    expect((await appendOne(store, log, batchOf(['after']))).baseOffset).toBe(count)
    await store.close()
    const again = await open(fileSystem)
    expect(await valuesOf(again, log)).toHaveLength(count + 1)
    await again.close()
  })

  it('leaves in doubt what a failed write may have left, also where the one behind it found no room first', async () => {
    const fileSystem = new HeldWrites(new SeededRandom(21))
    const large = { cacheBytes: 4 * 1024 ** 2, fileBytes: 4 * 1024 ** 2, prepareFiles: 'never' } as const
    const store = await open(fileSystem, large)
    const { logs } = await store.createTopic({ name: 'words', partitions: 1 })
    const log = logs[0]!
    fileSystem.isHolding = true
    const first = store.append([{ logId: log, bytes: batchOf(['first']) }])
    await fileSystem.untilHeld(1)
    // Large enough not to wait for the first.
    const second = store.append([{ logId: log, bytes: batchOfSize(300_000, 'second;') }])
    await fileSystem.untilHeld(2)
    fileSystem.held[1]!.end(Object.assign(new Error('ENOSPC: write'), { code: 'ENOSPC' }))
    await fileSystem.held[0]!.write()
    fileSystem.held[0]!.end(Object.assign(new Error('EIO: write'), { code: 'EIO' }))
    const [[failed], [behind]] = await Promise.all([first, second])
    expect(failed?.error).toMatchObject({ code: 'WRITER_FAILED', inDoubt: true })
    expect(behind?.error?.code).toBe('WRITER_FAILED')
    await store.close()
    const again = await open(fileSystem.restart(true), large)
    expect(await valuesOf(again, log)).toEqual(['first'])
    await again.close()
  })

  it('starts with a quota used up as it does on a full disk: what is there can be read', async () => {
    const { fileSystem, store, log } = await withTopic(14)
    await appendOne(store, log, batchOf(['a']))
    await store.close()
    const overQuota = fileSystem.restart(false)
    const openFile = overQuota.open.bind(overQuota)
    overQuota.open = async (path, options) => {
      const file = await openFile(path, options)
      const write = () => Promise.reject(Object.assign(new Error('EDQUOT: quota'), { code: 'EDQUOT' }))
      return { ...file, write }
    }
    const again = await open(overQuota)
    expect(await valuesOf(again, log)).toEqual(['a'])
    const [refused] = await again.append([{ logId: log, bytes: batchOf(['b']) }])
    expect(refused?.error).toMatchObject({ code: 'DISK_FULL', inDoubt: false })
    await again.close()
  })

  for (const code of ['ENOSPC', 'EDQUOT'] as const) {
    it(`deletes on a full disk, and goes on in the room that gives (${code})`, async () => {
      const { fileSystem, store, id, log } = await withTopic(20)
      const kept = await store.createTopic({ name: 'kept', partitions: 1 })
      for (let index = 0; index < 12; index++) await appendOne(store, log, batchOfSize(8000, `v${index};`))
      await store.maintain({ maxBytes: 0 })
      fileSystem.limitRoom(0, code)
      const fill = () => store.append([{ logId: kept.logs[0]!, bytes: batchOfSize(8000, 'kept;') }])
      let count = 0
      for (;;) {
        const [result] = await fill()
        if (result?.error?.code === 'DISK_FULL') break
        count++
      }
      expect(await store.advanceStart(log, 3)).toMatchObject({ startOffset: 3 })
      const refused = Promise.all(Array.from({ length: 20 }, fill))
      await store.deleteTopic(id)
      await refused
      await store.maintain({ maxBytes: 1e9 })
      const { highWatermark } = (await store.state(kept.logs))[0]!
      expect((await appendOne(store, kept.logs[0]!, batchOf(['after']))).baseOffset).toBe(highWatermark)
      expect(highWatermark).toBeGreaterThanOrEqual(count)
      await store.close()
      const again = await open(fileSystem)
      expect(again.topics.byName('words')).toBeUndefined()
      expect(await valuesOf(again, kept.logs[0]!)).toHaveLength(highWatermark + 1)
      await again.close()
    })
  }

  it('makes the names durable that a failed start has left, before anything is acknowledged', async () => {
    let failures = 0
    for (let count = 1; count < 20; count++) {
      const fileSystem = new SimulatedFileSystem(new SeededRandom(count))
      fileSystem.failOne('sync folder', count)
      const first = await open(fileSystem).catch(() => null)
      // Later ones are not of the start any more.
      if (first !== null) break
      failures++
      const store = await open(fileSystem)
      const { logs } = await store.createTopic({ name: 'words', partitions: 1 })
      await appendOne(store, logs[0]!, batchOf(['a']))
      const again = await open(fileSystem.restart(true, false, () => false))
      expect(again.topics.byName('words'), `the sync that failed was number ${count}`).toBeDefined()
      expect(await valuesOf(again, logs[0]!)).toEqual(['a'])
      await again.close()
    }
    expect(failures).toBeGreaterThan(2)
  })

  it('makes the first checkpoint durable where the start that wrote it could not', async () => {
    for (let seed = 1; seed <= 12; seed++) {
      const fileSystem = new SimulatedFileSystem(new SeededRandom(seed))
      // The first two are those of every start, in the data folder and in that of the log.
      fileSystem.failOne('sync folder', 3)
      expect(await codeOf(open(fileSystem))).toBe('EIO')
      expect(fileSystem.trace.findLast((line) => line.startsWith('sync'))).toMatch('sync folder /data: EIO')
      const store = await open(fileSystem)
      const { logs } = await store.createTopic({ name: 'words', partitions: 1 })
      await appendOne(store, logs[0]!, batchOf(['a']))
      const again = await open(fileSystem.restart(true, false, () => false))
      expect(await valuesOf(again, logs[0]!), `seed ${seed}`).toEqual(['a'])
      await again.close()
    }
  })

  it('removes no file that a checkpoint from before a failed sync needs, should that come back', async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const fileSystem = new ForgetfulFolder(new SeededRandom(seed))
      const store = await open(fileSystem)
      const { id, logs } = await store.createTopic({ name: 'words', partitions: 1 })
      const { logs: kept } = await store.createTopic({ name: 'kept', partitions: 1 })
      await appendOne(store, kept[0]!, batchOf(['a']))
      fileSystem.isForgetful = true
      for (let index = 0; index < 30; index++) await appendOne(store, logs[0]!, batchOfSize(3000, 'd;'))
      await store.close()
      fileSystem.isForgetful = false
      // It finds a checkpoint that a power failure would take.
      const next = await open(fileSystem)
      await next.deleteTopic(id)
      await next.maintain({ maxBytes: 0 })
      const again = await open(fileSystem.restart(true, false, () => false))
      expect(await valuesOf(again, kept[0]!), `seed ${seed}`).toEqual(['a'])
      await again.close()
    }
  })

  it('starts when there is room again for the first log file, beside another one that was prepared', async () => {
    const { fileSystem, store } = await withTopic(21, { prepareFiles: 'always' })
    await store.maintain({ maxBytes: 0 })
    const machine = fileSystem.restart(true, false, () => false)
    const options = { access: 'create', direct: false, writesAreDurable: false } as const
    for (const number of [1, 2]) {
      const path = `/data/log/0000000000000000000${number}.log`
      await machine.remove(path).catch(() => undefined)
      await (await machine.open(path, options)).close()
    }
    machine.limitRoom(0)
    expect(await codeOf(open(machine))).toBe('DISK_FULL')
    machine.liftLimit()
    const again = await open(machine)
    const { logs } = await again.createTopic({ name: 'words', partitions: 1 })
    await appendOne(again, logs[0]!, batchOf(['a']))
    await again.close()
  })

  it('starts on a full disk although the index of a full file is missing, and reads what it held', async () => {
    const { fileSystem, store, log } = await withTopic(16)
    for (let index = 0; index < 12; index++) await appendOne(store, log, batchOfSize(8000, `v${index};`))
    await store.close()
    await fileSystem.remove('/data/log/00000000000000000001.index')
    fileSystem.limitRoom(0)
    const again = await open(fileSystem, { indexCacheBytes: 0 })
    expect(await valuesOf(again, log)).toHaveLength(12)
    await again.close()
    fileSystem.liftLimit()
    const third = await open(fileSystem)
    expect(await valuesOf(third, log)).toHaveLength(12)
    await third.close()
  })

  it('leaves no file of its own behind that no log file belongs to', async () => {
    const { fileSystem, store, log } = await withTopic(17)
    for (let index = 0; index < 8; index++) await appendOne(store, log, batchOfSize(8000, `v${index};`))
    await store.close()
    const left = [
      '/data/log/00000000000000000009.index',
      '/data/log/00000000000000000001.index.tmp',
      '/data/checkpoint.tmp',
    ]
    for (const path of left) {
      const options = { access: 'create', direct: false, writesAreDurable: false } as const
      await (await fileSystem.open(path, options)).close()
    }
    const again = await open(fileSystem)
    await again.close()
    expect(fileSystem.filesIn('/data').filter((path) => left.includes(path))).toEqual([])
  })

  it('stops the writer when the folder may have lost the name of the file that is written', async () => {
    const { fileSystem, store, log } = await withTopic(18, { prepareFiles: 'never' })
    // The first sync makes the name of the second file durable, the next one that of the first file's index.
    fileSystem.failOne('sync folder', 2)
    let count = 0
    for (;;) {
      const [result] = await store.append([{ logId: log, bytes: batchOfSize(5000, 'v;') }])
      if (result?.error !== null) {
        expect(result?.error.code).toBe('WRITER_FAILED')
        break
      }
      expect(++count).toBeLessThan(1000)
    }
    expect(await valuesOf(store, log)).toHaveLength(count)
    await store.close()
    const again = await open(fileSystem.restart(true))
    expect((await valuesOf(again, log)).length).toBeGreaterThanOrEqual(count)
    await again.close()
  })

  it('stops the writer whatever it was for that a sync of the log folder failed', async () => {
    const lasting = () => KEEP_EVERYTHING
    const stoppedBy = new Set<string>()
    for (let count = 1, isOver = false; !isOver; count++) {
      const { fileSystem, store, log } = await withTopic(20, { prepareFiles: 'always' })
      const { logs: others } = await store.createTopic({ name: 'others', partitions: 3 })
      const { id, logs: deleted } = await store.createTopic({ name: 'deleted', partitions: 1 })
      fileSystem.failOne('sync folder', count)
      const acknowledged: string[] = []
      const append = async (to: LogId, value: string) => {
        const [result] = await store.append([{ logId: to, bytes: batchOfSize(3000, value) }])
        if (result!.error === null && to === log) acknowledged.push(value)
      }
      for (let index = 0; index < 12; index++) {
        for (const to of [log, ...others]) await append(to, `v${index};`)
      }
      // Files are merged, and others, with nothing in them but what is deleted, shrink.
      await store.maintain({ maxBytes: 1e9 }, lasting).catch(() => undefined)
      for (let index = 0; index < 30; index++) await append(deleted[0]!, 'd;')
      await store.deleteTopic(id).catch(() => undefined)
      await append(log, 'w0;')
      await store.maintain({ maxBytes: 0 }).catch(() => undefined)
      for (let index = 1; index < 12; index++) await append(log, `w${index};`)
      await store.maintain({ maxBytes: 0 }).catch(() => undefined)
      const at = fileSystem.trace.findIndex((line) => line.startsWith('sync folder /data/log: EIO'))
      isOver = !fileSystem.trace.some((line) => /^sync folder .*: EIO/.test(line))
      if (at >= 0) {
        const before = fileSystem.trace
          .slice(0, at)
          .findLast((line) => /^(remove .*log$|rename|close)/.test(line))!
        stoppedBy.add(before.replace(/ .*\./, ' *.'))
        const [later] = await store.append([{ logId: log, bytes: batchOf(['later']) }])
        expect(later?.error, `after sync ${count} of a folder`).toMatchObject({ code: 'WRITER_FAILED' })
      }
      const again = await open(fileSystem.restart(true, false, () => false))
      const found = await valuesOf(again, log)
      expect(found.map((value) => value.slice(0, value.indexOf(';') + 1))).toEqual(
        expect.arrayContaining(acknowledged),
      )
      await again.close()
    }
    const causes = ['close *.log', 'close *.segment', 'remove *.log', 'rename *.tmp']
    expect([...stoppedBy].sort()).toEqual(causes)
  })

  it('lets go of everything when a start or a close fails at its last step', async () => {
    const { fileSystem, store, log } = await withTopic(19)
    await appendOne(store, log, batchOf(['a']))
    // The reserve is made in the background.
    await store.maintain({ maxBytes: 0 })
    // The first is that of the checkpoint, which a close can do without.
    fileSystem.failOne('close', 2)
    expect(await codeOf(store.close())).toBe('WRITER_FAILED')
    expect(fileSystem.openHandles).toBe(0)
    await (await open(fileSystem)).close()
    const before = fileSystem.trace.length
    const whole = await open(fileSystem)
    const opened = fileSystem.trace.slice(before).filter((line) => line.startsWith('open')).length
    await whole.close()
    fileSystem.failOne('open', opened)
    expect(await codeOf(open(fileSystem))).toBe('EIO')
    expect(fileSystem.openHandles).toBe(0)
    const again = await open(fileSystem)
    expect(await valuesOf(again, log)).toEqual(['a'])
    await again.close()
  })

  for (const seed of [3, 4, 5, 6]) {
    it(`stops the writer after a failed write, reads on, and has all of it again (seed ${seed})`, async () => {
      const { fileSystem, store, id, log } = await withTopic(seed)
      for (let index = 0; index < 5; index++) await appendOne(store, log, batchOf([`v${index}`]))
      fileSystem.failOne('write', 1)
      const calls = Array.from({ length: 3 }, () => store.append([{ logId: log, bytes: batchOf(['lost']) }]))
      for (const [result] of await Promise.all(calls)) {
        expect(result?.error).toMatchObject({ code: 'WRITER_FAILED', inDoubt: true })
      }
      for (let index = 0; index < 3; index++) {
        const [later] = await store.append([{ logId: log, bytes: batchOf(['later']) }])
        expect(later?.error).toMatchObject({ code: 'WRITER_FAILED', inDoubt: false })
      }
      expect(await codeOf(store.deleteTopic(id))).toBe('WRITER_FAILED')
      const values = ['v0', 'v1', 'v2', 'v3', 'v4']
      expect(await valuesOf(store, log)).toEqual(values)
      await store.close()
      expect(fileSystem.openHandles).toBe(0)

      const again = await open(fileSystem)
      const found = await valuesOf(again, log)
      expect(found.slice(0, 5)).toEqual(values)
      expect(found.slice(5).every((value) => value === 'lost')).toBe(true)
      expect((await appendOne(again, log, batchOf(['next']))).baseOffset).toBe(found.length)
      await again.close()
    })
  }

  it('stops the writer after a failed sync where acknowledged is with the operating system', async () => {
    const fileSystem = new SimulatedFileSystem(new SeededRandom(7))
    const store = await open(fileSystem, { durability: 'os' })
    const { logs } = await store.createTopic({ name: 'words', partitions: 1 })
    fileSystem.failOne('sync', 1)
    let count = 0
    for (;;) {
      const [result] = await store.append([{ logId: logs[0]!, bytes: batchOfSize(5000, 'v;') }])
      if (result?.error !== null) {
        expect(result?.error.code).toBe('WRITER_FAILED')
        break
      }
      count++
      expect(count).toBeLessThan(1000)
    }
    expect(await valuesOf(store, logs[0]!)).toHaveLength(count)
    await store.close()
    expect(fileSystem.openHandles).toBe(0)
  })

  for (const seed of [9, 10, 11, 12]) {
    it(`closes when the change under way is made, and not in the middle of it (seed ${seed})`, async () => {
      const { fileSystem, store, log } = await withTopic(seed, { indexCacheBytes: 0 })
      for (let index = 0; index < 12; index++) await appendOne(store, log, batchOfSize(8000, `v${index};`))
      await store.maintain({ maxBytes: 0 })
      // To know what it frees, the change reads the index of a full file first.
      const advanced = store.advanceStart(log, 2)
      while (fileSystem.pendingCount === 0) await Promise.resolve()
      const refused = codeOf(store.close().then(() => store.advanceStart(log, 3)))
      expect(await advanced).toMatchObject({ startOffset: 2 })
      expect(await refused).toBe('CLOSED')
      expect(fileSystem.openHandles).toBe(0)
      const again = await open(fileSystem)
      expect(await again.state([log])).toMatchObject([{ logStartOffset: 2, highWatermark: 12 }])
      await again.close()
    })
  }

  it('gives no records from behind the offset asked for when the start passes it meanwhile', async () => {
    let refused = 0
    for (let seed = 1; seed <= 20; seed++) {
      const { store, log } = await withTopic(seed, { indexCacheBytes: 0 })
      for (let index = 0; index < 12; index++) await appendOne(store, log, batchOfSize(8000, `v${index};`))
      await store.maintain({ maxBytes: 0 })
      const reading = store.read([{ logId: log, offset: 0, maxBytes: 1e6 }], { maxBytes: 1e6 })
      const advanced = store.advanceStart(log, 10)
      const [result] = await reading
      await advanced
      if (result!.error !== null) {
        expect(result!.error).toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' })
        refused++
        continue
      }
      const [first] = recordsIn(await bytesOf(result!.records))
      expect(first, `seed ${seed}`).toMatchObject({ offset: 0 })
    }
    expect(refused).toBeGreaterThan(0)
  })

  it('refuses a change larger than the log takes, and goes on', async () => {
    const { store, log } = await withTopic(8)
    const configs = { note: 'x'.repeat(store.maxBatchBytes) }
    expect(await codeOf(store.createTopic({ name: 'huge', partitions: 1, configs }))).toBe('BATCH_TOO_LARGE')
    expect((await appendOne(store, log, batchOf(['a']))).baseOffset).toBe(0)
    await store.close()
  })
})

describe('LocalLogStore and a crash at every step', () => {
  /** Two runs of a store, each with appends over two logs, files that fill, and a deletion. */
  async function work(
    store: LocalLogStore,
    acknowledged: Map<LogId, string[]>,
    run: number,
    stage: { deleted: boolean },
  ): Promise<void> {
    const topic = store.topics.byName('words') ?? (await store.createTopic({ name: 'words', partitions: 2 }))
    const passing = await store.createTopic({ name: `passing-${run}`, partitions: 1 })
    for (let index = 0; index < 6; index++) {
      await Promise.all(
        [...topic.logs, ...passing.logs].map(async (log, partition) => {
          const value = `${run}/${index}/${partition};`
          await appendOne(store, log, batchOfSize(3000, value))
          acknowledged.set(log, [...(acknowledged.get(log) ?? []), value])
        }),
      )
    }
    await store.deleteTopic(passing.id)
    for (const log of passing.logs) acknowledged.delete(log)
    stage.deleted = true
    await store.close()
  }

  async function verify(
    store: LocalLogStore,
    acknowledged: Map<LogId, string[]>,
    deletionWasAnswered: boolean,
  ): Promise<void> {
    if (deletionWasAnswered) expect(store.topics.byName('passing-0')).toBeUndefined()
    const logs = [...store.topics.all()].flatMap((topic) => topic.logs)
    for (const log of acknowledged.keys()) {
      // Only a deletion that had been asked for explains that a log is gone.
      if (!logs.includes(log)) expect(store.topics.byName('words')!.logs).not.toContain(log)
    }
    for (const log of logs) {
      const values = acknowledged.get(log) ?? []
      const found = (await valuesOf(store, log)).map((value) => value.slice(0, value.indexOf(';') + 1))
      expect(found.slice(0, values.length)).toEqual(values)
      expect(found.length).toBeLessThanOrEqual(values.length + 1)
      acknowledged.set(log, found)
    }
  }

  for (const power of [true, false]) {
    it(`finds everything acknowledged after ${power ? 'a power failure' : 'the death of the process'}`, async () => {
      for (let step = 0; ; step++) {
        const acknowledged = new Map<LogId, string[]>()
        const first = new SimulatedFileSystem(new SeededRandom(step))
        first.crashAfter(step)
        const stage = { deleted: false }
        const ended = await Promise.race([
          open(first).then((store) => work(store, acknowledged, 0, stage)),
          first.crashed.then(() => 'crashed'),
        ])
        // Nobody waits any more for what a dead process would have answered.
        const second = first.restart(power)
        const store = await open(second)
        await verify(store, acknowledged, stage.deleted)
        await work(store, acknowledged, 1, { deleted: false })
        expect(second.openHandles).toBe(0)
        const third = await open(second)
        await verify(third, acknowledged, stage.deleted)
        await third.close()
        if (ended !== 'crashed') {
          expect(step).toBeGreaterThan(50)
          break
        }
      }
    })
  }
})
