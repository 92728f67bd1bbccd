import { open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Checkpoint, readCheckpoint, writeCheckpoint } from '../local/checkpoint.ts'
import { LocalLogStore } from '../local/local-log-store.ts'
import { decodeGroup, FILE_HEADER_BYTES, GROUP_HEADER_BYTES } from '../local/log-format.ts'
import { nodeFileSystem } from '../local/node-file-system.ts'
import type { LogId } from '../log-store.ts'
import { appendOne, batchOf, batchOfSize, markerOf } from '../testing/batches.ts'
import { contentsOf, copyDataFolder, makeDataFolder, removeDataFolder } from '../testing/data-folder.ts'
import { SeededRandom } from '../testing/seeded-random.ts'
import { checkDataFolder } from './check-data-folder.ts'

const FIRST_FILE = '00000000000000000001.log'
const SECOND_FILE = '00000000000000000002.log'

describe('checking a data folder', () => {
  const folders: string[] = []
  let folder: string
  let log: LogId

  /** Two logs in three files and more, closed cleanly, with `crashed` as it was just before. */
  let crashed: string

  beforeEach(async () => {
    folder = await makeDataFolder()
    folders.push(folder)
    const store = await LocalLogStore.open({ dataDir: folder, fileBytes: 64 * 1024, prepareFiles: 'never' })
    const { logs } = await store.createTopic({ name: 'words', partitions: 2 })
    log = logs[0]!
    const producer = { producerId: 5, producerEpoch: 0 }
    for (let index = 0; index < 24; index++) {
      await appendOne(store, logs[index % 2]!, batchOfSize(6000, `v${index};`))
      const transactional = batchOf([`t${index}`], { ...producer, baseSequence: index, transactional: true })
      await appendOne(store, log, transactional)
      await appendOne(store, log, markerOf(index % 3 === 0 ? 'abort' : 'commit', producer))
    }
    // The checkpoint of the last full file is written when this is done: it knows nothing of the last batch.
    await store.maintain({ maxBytes: 0 })
    await appendOne(store, log, batchOfSize(200, 'last;'))
    crashed = await copyDataFolder(folder)
    folders.push(crashed)
    await store.close()
  })

  afterEach(async () => {
    for (const path of folders.splice(0)) await removeDataFolder(path)
  })

  async function flip(path: string, position: number, bit = 4): Promise<void> {
    const handle = await open(path, 'r+')
    const byte = new Uint8Array(1)
    await handle.read(byte, 0, 1, position)
    byte[0]! ^= 1 << bit
    await handle.write(byte, 0, 1, position)
    await handle.close()
  }

  async function groupsOf(path: string) {
    const bytes = await readFile(path)
    const groups: {
      start: number
      tableEnd: number
      end: number
      entries: readonly { position: number }[]
    }[] = []
    for (let start = FILE_HEADER_BYTES; ; ) {
      const group = decodeGroup(bytes.subarray(start))
      if (group === null) return groups
      const { lengthBytes, tablePosition, entryCount } = group.header
      const tableEnd = start + tablePosition + entryCount * 32
      groups.push({ start, tableEnd, end: start + lengthBytes, entries: group.entries })
      start += lengthBytes
    }
  }

  it('finds a folder sound after a close and after a crash, and changes nothing', async () => {
    for (const dataDir of [folder, crashed]) {
      const before = await contentsOf(dataDir)
      const report = await checkDataFolder(dataDir)
      expect(report).toMatchObject({ isSound: true, findings: [], findingCount: 0, records: 73 })
      expect(report.logFiles).toBeGreaterThan(3)
      expect(await contentsOf(dataDir)).toEqual(before)
    }
  })

  it('reports every flipped bit, except in what is padding', async () => {
    const random = new SeededRandom(11)
    const names = (await readdir(join(folder, 'log'))).map((name) => join('log', name))
    for (const name of ['checkpoint', ...names]) {
      const path = join(folder, name)
      const content = await readFile(path)
      const groups = name.endsWith('.log') ? await groupsOf(path) : []
      const isPadding = (position: number) => {
        if (!name.endsWith('.log')) return false
        if (position < FILE_HEADER_BYTES) return position >= 64
        const group = groups.find(({ start, end }) => position >= start && position < end)
        return group === undefined || position >= group.tableEnd
      }
      const positions = Array.from({ length: 24 }, () => random.between(0, content.byteLength - 1))
      for (let byte = 0; byte < 64; byte += 9) positions.push(byte, FILE_HEADER_BYTES + byte)
      for (const position of positions.filter((at) => at < content.byteLength)) {
        await flip(path, position)
        const outcome = await checkDataFolder(folder).then(
          ({ isSound, findings }) => (isSound ? 'sound' : findings[0]!.file.replace(/^log$/, name)),
          (error: { code?: string }) => error.code,
        )
        const expected = isPadding(position) ? ['sound'] : [name, 'DATA_NEWER_FORMAT']
        expect(expected, `${name} at byte ${position}`).toContain(outcome)
        await flip(path, position)
      }
    }
    expect((await checkDataFolder(folder)).isSound).toBe(true)
  })

  it('says where a batch is damaged, and what is lost', async () => {
    const path = join(folder, 'log', FIRST_FILE)
    const [, group] = await groupsOf(path)
    await flip(path, group!.start + group!.entries[0]!.position + 100)
    expect((await checkDataFolder(folder)).findings).toEqual([
      expect.objectContaining({
        kind: 'batch',
        file: join('log', FIRST_FILE),
        position: group!.start + GROUP_HEADER_BYTES,
        topic: 'words',
        partition: 0,
        offset: 0,
        lost: "offset 0 of 'words'-0",
      }),
    ])
  })

  it('goes on behind a damaged group, and names the offsets that were in it', async () => {
    for (const dataDir of [folder, crashed]) {
      const path = join(dataDir, 'log', FIRST_FILE)
      const groups = await groupsOf(path)
      await flip(path, groups[4]!.start + 20)
      // The broker finds what is in a full file by its index.
      const { findings: indexed, groups: read } = await checkDataFolder(dataDir)
      expect(indexed).toMatchObject([
        { kind: 'group', position: groups[4]!.start, wayOut: expect.stringContaining('by the index') },
      ])
      expect(read).toBeGreaterThan(50)
      await rm(path.replace('.log', '.index'))
      const { findings } = await checkDataFolder(dataDir)
      expect(findings).toMatchObject([
        { kind: 'group', position: groups[4]!.start },
        { kind: 'missing', topic: 'words', offset: expect.any(Number) },
      ])
      expect(findings[0]!.wayOut).toContain(`--truncate-at ${FIRST_FILE}:${groups[4]!.start}`)
    }
  })

  it('finds the first group of a later file damaged, and a file that is missing', async () => {
    const path = join(folder, 'log', SECOND_FILE)
    await flip(path, FILE_HEADER_BYTES + 20)
    expect((await checkDataFolder(folder)).findings[0]).toMatchObject({
      kind: 'group',
      file: join('log', SECOND_FILE),
      position: FILE_HEADER_BYTES,
    })
    await rm(path)
    const { findings } = await checkDataFolder(folder)
    expect(findings.map(({ kind, topic }) => [kind, topic])).toEqual([
      ['missing', 'words'],
      ['missing', 'words'],
    ])
  })

  it('takes damage to the last write for what a crash leaves, unless something says that it had been on disk', async () => {
    const last = (await readdir(join(crashed, 'log')))
      .filter((name) => name.endsWith('.log'))
      .sort()
      .at(-1)!
    const path = join(crashed, 'log', last)
    const group = (await groupsOf(path)).at(-1)!
    for (const position of [group.start + 20, group.start + GROUP_HEADER_BYTES + 70]) {
      await flip(path, position)
      expect(await checkDataFolder(crashed)).toMatchObject({
        isSound: true,
        notes: [{ file: last, position: group.start, note: expect.stringContaining('as a crash leaves') }],
      })
      await flip(path, position)
      // The clean close said so in its checkpoint.
      await flip(join(folder, 'log', last), position)
      expect((await checkDataFolder(folder)).isSound).toBe(false)
      await flip(join(folder, 'log', last), position)
    }
  })

  it('takes a file whose header was never written for what a crash leaves, as a start does', async () => {
    const young = await makeDataFolder()
    folders.push(young)
    const store = await LocalLogStore.open({ dataDir: young, durability: 'os' })
    const { logs } = await store.createTopic({ name: 'words', partitions: 1 })
    await appendOne(store, logs[0]!, batchOf(['v']))
    const copy = await copyDataFolder(young)
    folders.push(copy)
    await store.close()
    const handle = await open(join(copy, 'log', FIRST_FILE), 'r+')
    await handle.write(new Uint8Array(FILE_HEADER_BYTES), 0, FILE_HEADER_BYTES, 0)
    await handle.close()
    expect(await checkDataFolder(copy)).toMatchObject({
      isSound: true,
      notes: [{ file: FIRST_FILE, note: expect.stringContaining('its header was not written') }],
    })
    await (await LocalLogStore.open({ dataDir: copy })).close()
  })

  it('finds a checkpoint that is damaged, missing, or ahead of the log', async () => {
    const path = join(folder, 'checkpoint')
    const content = await readFile(path)
    await flip(path, content.byteLength - 10)
    expect((await checkDataFolder(folder)).findings).toMatchObject([{ kind: 'checkpoint' }])
    await rm(path)
    expect((await checkDataFolder(folder)).findings).toMatchObject([{ kind: 'checkpoint' }])
    await writeFile(path, content)
    const last = (await readdir(join(folder, 'log')))
      .filter((name) => name.endsWith('.log'))
      .sort()
      .at(-1)!
    await truncate(join(folder, 'log', last), FILE_HEADER_BYTES)
    const { findings } = await checkDataFolder(folder)
    expect(findings.map(({ kind }) => kind)).toEqual(
      expect.arrayContaining(['group', 'checkpoint', 'missing']),
    )
  })

  describe('compares what the checkpoint says of producers with their batches', () => {
    async function changed(change: (checkpoint: Checkpoint) => Partial<Checkpoint>) {
      const { checkpoint } = (await readCheckpoint(nodeFileSystem, folder))!
      await writeCheckpoint(nodeFileSystem, folder, { ...checkpoint, ...change(checkpoint) })
      return (await checkDataFolder(folder)).findings
    }

    /** The one producer in the checkpoint, with its fields changed by their number. */
    const producer = ({ producers }: Checkpoint, fields: Readonly<Record<number, unknown>>) => ({
      producers: [Object.assign([...producers[0]!], fields) as unknown as Checkpoint['producers'][number]],
    })

    it.each<[string, (checkpoint: Checkpoint) => Partial<Checkpoint>, RegExp]>([
      [
        'the sequences of one',
        (checkpoint) => {
          const window = [...checkpoint.producers[0]![4]]
          window[0]!++
          return producer(checkpoint, { 4: window })
        },
        /that the batch of producer 5 at offset \d+ has the sequences 20 to 19 of epoch 0, and it has 19 to 19/,
      ],
      ['its epoch', (checkpoint) => producer(checkpoint, { 2: 7 }), /of epoch 7, and it has/],
      [
        'that there was another one later',
        (checkpoint) => producer(checkpoint, { 4: checkpoint.producers[0]![4].slice(0, 4) }),
        /that the last batch of producer 5 ends at offset \d+, and there is one at \d+/,
      ],
      [
        'where its open transaction begins',
        (checkpoint) => producer(checkpoint, { 6: checkpoint.producers[0]![4].at(-1)! + 1 }),
        /that producer 5 has a transaction open from offset \d+ on, where none of it begins/,
      ],
      [
        'who aborted a transaction',
        ({ aborted }) => ({ aborted: [[aborted![0]![0], [6, ...aborted![0]![1].slice(1)]]] }),
        /that a transaction of producer 6 was aborted at offset \d+, where no marker of it is/,
      ],
      [
        'that one was aborted',
        ({ aborted }) => {
          const [first, begun, ended, stable] = aborted![0]![1] as [number, number, number, number]
          return { aborted: [[aborted![0]![0], [first, begun, ended + 1, stable]]] }
        },
        /that a transaction of producer 5 was aborted at offset \d+, where no marker of it is/,
      ],
    ])('%s', async (_, change, problem) => {
      expect(await changed(() => ({}))).toEqual([])
      const findings = await changed(change)
      expect(findings.length).toBeGreaterThan(0)
      for (const finding of findings) {
        expect(finding).toMatchObject({ kind: 'checkpoint', file: 'checkpoint' })
        expect(finding.problem).toMatch(/^it says of 'words'-0 that .*: \d{20}\.log at byte \d+$/)
      }
      expect(findings[0]!.problem).toMatch(problem)
    })
  })

  it('says that an index is missing, and reports one that differs', async () => {
    const path = join(folder, 'log', FIRST_FILE.replace('.log', '.index'))
    await rm(path)
    expect(await checkDataFolder(folder)).toMatchObject({
      isSound: true,
      notes: [
        {
          file: '00000000000000000001.index',
          note: expect.stringContaining('the next start makes it again'),
        },
      ],
    })
    await writeFile(path, await readFile(path.replace('1.index', '2.index')))
    expect((await checkDataFolder(folder)).findings).toMatchObject([{ kind: 'index' }])
  })

  it('is refused while a store has the folder, and where there is none', async () => {
    const store = await LocalLogStore.open({ dataDir: folder, fileBytes: 64 * 1024 })
    await expect(checkDataFolder(folder)).rejects.toMatchObject({ code: 'DATA_LOCKED' })
    await store.close()
    await expect(checkDataFolder(join(folder, 'none'))).rejects.toMatchObject({ code: 'DATA_NOT_FOUND' })
    await expect(checkDataFolder(join(folder, 'log'))).rejects.toMatchObject({ code: 'DATA_NOT_FOUND' })
    expect(await readdir(folder)).not.toContain('none')
  })
})
