import { spawn } from 'node:child_process'
import {
  chmod,
  cp,
  mkdir,
  open as openFile,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { crc32c } from '@streambus/protocol'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type LogId, type LogStore, StorageError } from '../log-store.ts'
import { appendOne, batchOf, batchOfSize, codeOf, valuesOf } from '../testing/batches.ts'
import { contentsOf, copyDataFolder, makeDataFolder, removeDataFolder } from '../testing/data-folder.ts'
import { CHECKPOINT_VERSION } from './checkpoint.ts'
import { lockByProcessId } from './folder-lock.ts'
import { LocalLogStore, type LocalLogStoreOptions } from './local-log-store.ts'
import { BLOCK_BYTES, groupLength } from './log-format.ts'
import { nodeFileSystem } from './node-file-system.ts'

const FIRST_FILE = join('log', '00000000000000000001.log')
const SECOND_FILE = join('log', '00000000000000000002.log')

describe('LocalLogStore and a folder that is not as it left it', () => {
  const folders: string[] = []
  const stores: LogStore[] = []
  let folder: string

  beforeEach(async () => {
    folder = await newFolder()
  })

  afterEach(async () => {
    for (const store of stores.splice(0)) await store.close()
    for (const path of folders.splice(0)) await removeDataFolder(path)
  })

  async function newFolder(): Promise<string> {
    const path = await makeDataFolder()
    folders.push(path)
    return path
  }

  async function open(dataDir: string, options: Partial<LocalLogStoreOptions> = {}): Promise<LocalLogStore> {
    const store = await LocalLogStore.open({ dataDir, ...options })
    stores.push(store)
    return store
  }

  async function refusalOf(
    dataDir: string,
    options: Partial<LocalLogStoreOptions> = {},
  ): Promise<StorageError> {
    const outcome = await LocalLogStore.open({ dataDir, ...options }).then(
      (store) => {
        stores.push(store)
        return null
      },
      (error: unknown) => error,
    )
    if (!(outcome instanceof StorageError)) throw new Error(`not refused: ${outcome}`)
    return outcome
  }

  /** The folder of a store that stopped without closing, after `count` groups of one batch each. */
  async function uncleanFolder(
    count: number,
    options: Partial<LocalLogStoreOptions> = {},
    batch = (index: number) => batchOf([`v${index};`]),
  ): Promise<{ path: string; log: LogId }> {
    const store = await open(folder, options)
    const topic = await store.createTopic({ name: 'words', partitions: 1 })
    const log = topic.logs[0]!
    for (let index = 0; index < count; index++) await appendOne(store, log, batch(index))
    await store.maintain({ maxBytes: 0 })
    const path = await copyDataFolder(folder)
    folders.push(path)
    await store.close()
    return { path, log }
  }

  /** Positions of the groups in a log file, and its end. */
  async function groupsOf(path: string): Promise<{ starts: number[]; end: number }> {
    const bytes = await readFile(path)
    const starts: number[] = []
    let at = BLOCK_BYTES
    for (;;) {
      const length = groupLength(bytes.subarray(at))
      if (length === null) return { starts, end: at }
      starts.push(at)
      at += length
    }
  }

  async function overwrite(path: string, position: number, bytes: Uint8Array): Promise<void> {
    const handle = await openFile(path, 'r+')
    await handle.write(bytes, 0, bytes.byteLength, position)
    await handle.close()
  }

  async function flip(path: string, position: number): Promise<void> {
    const bytes = await readFile(path)
    await overwrite(path, position, Uint8Array.of(bytes[position]! ^ 0x10))
  }

  const labels = (values: readonly string[]) => values.map((value) => value.split(';')[0]!)
  const upTo = (count: number) => Array.from({ length: count }, (_, index) => `v${index}`)

  describe('a torn tail', () => {
    it('keeps everything before it, wherever the file is cut', async () => {
      const batch = (index: number) => batchOfSize(index === 5 ? 3 * BLOCK_BYTES : 700, `v${index};`)
      const { path, log } = await uncleanFolder(6, {}, batch)
      const { starts, end } = await groupsOf(join(path, FIRST_FILE))
      // The first group is the creation of the topic.
      expect(starts).toHaveLength(7)
      const cuts = new Set<number>()
      for (let at = starts[1]!; at <= end; at += BLOCK_BYTES) {
        for (const near of [at - 1, at, at + 63, at + 2000])
          if (near >= starts[1]! && near <= end) cuts.add(near)
      }
      for (const cut of cuts) {
        const copy = await copyDataFolder(path)
        await truncate(join(copy, FIRST_FILE), cut)
        const whole = [...starts.slice(1), end].filter((groupEnd) => groupEnd <= cut).length
        const store = await LocalLogStore.open({ dataDir: copy })
        expect(labels(await valuesOf(store, log)), `cut at ${cut}`).toEqual(upTo(whole - 1))
        expect((await appendOne(store, log, batchOf(['next']))).baseOffset).toBe(whole - 1)
        await store.close()
        const again = await LocalLogStore.open({ dataDir: copy })
        expect(labels(await valuesOf(again, log))).toEqual([...upTo(whole - 1), 'next'])
        await again.close()
        await removeDataFolder(copy)
      }
    })

    it('keeps everything before it, whichever blocks of the last write are missing or old', async () => {
      const batch = (index: number) => batchOfSize(index === 9 ? 3 * BLOCK_BYTES : 700, `v${index};`)
      const { path, log } = await uncleanFolder(10, {}, batch)
      const { starts, end } = await groupsOf(join(path, FIRST_FILE))
      const last = starts.at(-1)!
      const blocks = (end - last) / BLOCK_BYTES
      expect(blocks).toBe(4)
      const zeros = new Uint8Array(BLOCK_BYTES)
      const garbage = Uint8Array.from(zeros, (_, index) => (index * 31) & 0xff)
      for (let missing = 1; missing < 2 ** blocks; missing++) {
        for (const content of [zeros, garbage]) {
          const copy = await copyDataFolder(path)
          for (let block = 0; block < blocks; block++) {
            if ((missing >> block) & 1)
              await overwrite(join(copy, FIRST_FILE), last + block * BLOCK_BYTES, content)
          }
          const store = await LocalLogStore.open({ dataDir: copy })
          expect(labels(await valuesOf(store, log))).toEqual(upTo(9))
          expect((await appendOne(store, log, batchOf(['next']))).baseOffset).toBe(9)
          await store.close()
          await removeDataFolder(copy)
        }
      }
    })

    it('takes no group that does not continue the one before', async () => {
      const { path, log } = await uncleanFolder(10)
      const file = join(path, FIRST_FILE)
      const { starts, end } = await groupsOf(file)
      const bytes = await readFile(file)
      // The last group once more behind itself, as an old write at this place would be.
      await overwrite(file, end, bytes.subarray(starts.at(-1)!, end))
      const store = await open(path)
      expect(labels(await valuesOf(store, log))).toEqual(upTo(10))
      expect((await appendOne(store, log, batchOf(['next']))).baseOffset).toBe(10)
    })

    it('takes no such group when it builds an index again', async () => {
      const options = { fileBytes: 64 * 1024 }
      const { log } = await uncleanFolder(9, options, (index) => batchOfSize(20 * 1024, `v${index};`))
      const file = join(folder, FIRST_FILE)
      const { starts, end } = await groupsOf(file)
      await overwrite(file, end, (await readFile(file)).subarray(starts.at(-1)!, end))
      await rm(file.replace('.log', '.index'))
      const store = await open(folder, options)
      expect(labels(await valuesOf(store, log))).toEqual(upTo(9))
    })

    it('goes past a next file that was only begun', async () => {
      const { path, log } = await uncleanFolder(10)
      for (const content of [new Uint8Array(0), new Uint8Array(100), new Uint8Array(3 * BLOCK_BYTES)]) {
        const copy = await copyDataFolder(path)
        folders.push(copy)
        await writeFile(join(copy, SECOND_FILE), content)
        const store = await open(copy)
        expect(labels(await valuesOf(store, log))).toEqual(upTo(10))
      }
    })
  })

  describe('damage in the middle', () => {
    it('is refused with file and position, and nothing is changed', async () => {
      const { path } = await uncleanFolder(12)
      const file = join(path, FIRST_FILE)
      const { starts } = await groupsOf(file)
      // In the header, the payload, the entry table of groups that had successors.
      for (const position of [starts[3]!, starts[5]! + 13, starts[5]! + 64 + 30, starts[9]! + 64 + 80]) {
        const copy = await copyDataFolder(path)
        folders.push(copy)
        await flip(join(copy, FIRST_FILE), position)
        const before = await contentsOf(copy)
        const error = await refusalOf(copy)
        expect(error.code).toBe('DATA_DAMAGED')
        const group = starts.findLast((start) => start <= position)!
        expect(error.message).toContain(`${join(copy, FIRST_FILE)} is damaged at byte ${group}`)
        expect(await contentsOf(copy)).toEqual(before)
      }
    })

    it('is refused over several files, also where a whole file is missing', async () => {
      const options = { fileBytes: 64 * 1024 }
      const { path } = await uncleanFolder(20, options, (index) => batchOfSize(20 * 1024, `v${index};`))
      const names = (await readdir(join(path, 'log'))).filter((name) => name.endsWith('.log')).sort()
      expect(names.length).toBeGreaterThan(4)
      for (const name of names.slice(0, -1)) {
        const copy = await copyDataFolder(path)
        folders.push(copy)
        await rm(join(copy, 'log', name))
        const before = await contentsOf(copy)
        expect((await refusalOf(copy, options)).code, `without ${name}`).toBe('DATA_DAMAGED')
        expect(await contentsOf(copy)).toEqual(before)
      }
    })

    for (const durability of ['fsync', 'os'] as const) {
      it(`is refused where the only file with records is missing and the next one is empty (${durability})`, async () => {
        const options = { durability, prepareFiles: 'always' } as const
        const { path } = await uncleanFolder(3, options)
        const names = (await readdir(join(path, 'log'))).filter((name) => name.endsWith('.log'))
        expect(names).toHaveLength(2)
        await rm(join(path, FIRST_FILE))
        const error = await refusalOf(path, options)
        expect(error.code).toBe('DATA_DAMAGED')
        expect(error.message).toContain(FIRST_FILE)
      })
    }

    it('is refused where the header of a file with records is gone', async () => {
      const { path } = await uncleanFolder(12)
      await overwrite(join(path, FIRST_FILE), 0, new Uint8Array(BLOCK_BYTES))
      const error = await refusalOf(path)
      expect(error.code).toBe('DATA_DAMAGED')
      expect(error.message).toContain(join(path, FIRST_FILE))
    })

    it('is refused before the checkpoint of a clean close, too', async () => {
      await uncleanFolder(12)
      const file = join(folder, FIRST_FILE)
      const { starts } = await groupsOf(file)
      await flip(file, starts[6]! + 20)
      const error = await refusalOf(folder)
      expect(error.code).toBe('DATA_DAMAGED')
      expect(error.message).toContain(`at byte ${starts[6]}`)
    })

    it('is refused where the log is shorter than the checkpoint says', async () => {
      await uncleanFolder(12)
      const file = join(folder, FIRST_FILE)
      const { starts } = await groupsOf(file)
      await truncate(file, starts[8]!)
      expect((await refusalOf(folder)).code).toBe('DATA_DAMAGED')
    })

    it('is refused in the checkpoint, or when it is missing', async () => {
      await uncleanFolder(3)
      const path = join(folder, 'checkpoint')
      const bytes = await readFile(path)
      await flip(path, bytes.byteLength - 10)
      expect(await refusalOf(folder)).toMatchObject({ code: 'DATA_DAMAGED' })
      await writeFile(path, 'something else')
      expect(await refusalOf(folder)).toMatchObject({ code: 'DATA_DAMAGED' })
      await rm(path)
      expect(await refusalOf(folder)).toMatchObject({ code: 'DATA_DAMAGED' })
    })

    it('is refused when a file of another store, or another file, lies in its place', async () => {
      const { path } = await uncleanFolder(12)
      const other = await newFolder()
      const store = await open(other)
      await store.createTopic({ name: 'other', partitions: 1 })
      await store.close()
      await cp(join(other, FIRST_FILE), join(path, SECOND_FILE))
      expect(await refusalOf(path)).toMatchObject({ code: 'DATA_DAMAGED' })
      await cp(join(path, FIRST_FILE), join(path, SECOND_FILE))
      expect(await refusalOf(path)).toMatchObject({ code: 'DATA_DAMAGED' })
    })

    it('can be cut away on request, which keeps the damaged bytes', async () => {
      const options = { fileBytes: 64 * 1024 }
      const { path, log } = await uncleanFolder(12, options, (index) => batchOfSize(5000, `v${index};`))
      const file = join(path, FIRST_FILE)
      const { starts } = await groupsOf(file)
      const original = await readFile(file)
      const rolled = (await readdir(join(path, 'log'))).filter((name) => name.endsWith('.log')).sort()
      expect(rolled.length).toBeGreaterThan(1)
      // The start from the checkpoint must come past the damage.
      await rm(join(path, 'checkpoint'))
      await cp(await firstCheckpoint(), join(path, 'checkpoint'))
      await flip(file, starts[4]! + 300)
      expect((await refusalOf(path, options)).message).toContain('--truncate-damaged')
      const store = await open(path, { ...options, onDamage: 'truncate' })
      expect(labels(await valuesOf(store, log))).toEqual(upTo(3))
      expect((await appendOne(store, log, batchOf(['next;']))).baseOffset).toBe(3)
      await store.close()
      const kept = await readFile(`${file}.from-${starts[4]}.damaged`)
      original[starts[4]! + 300]! ^= 0x10
      expect(kept.equals(original.subarray(starts[4]!))).toBe(true)
      const names = await readdir(join(path, 'log'))
      for (const name of rolled.slice(1)) expect(names).toContain(`${name}.damaged`)
      const again = await open(path, options)
      expect(labels(await valuesOf(again, log))).toEqual([...upTo(3), 'next'])
    })

    /** The checkpoint the store had when it began; its cluster id is that of `folder`. */
    async function firstCheckpoint(): Promise<string> {
      const text = await readFile(join(folder, 'checkpoint'), 'utf8')
      const { clusterId } = JSON.parse(text.slice(text.indexOf('\n') + 1)) as { clusterId: string }
      const body = JSON.stringify({
        clusterId,
        end: { fileNumber: 1, position: 0, sequence: 0, chain: 0 },
        nextLogId: 1,
        nextProducerId: 1,
        topics: [],
        logs: [],
        producers: [],
      })
      const crc = crc32c(Buffer.from(body)).toString(16).padStart(8, '0')
      const path = join(await newFolder(), 'checkpoint')
      await writeFile(path, `streambus-checkpoint 1 ${crc} ${Buffer.byteLength(body)}\n${body}`)
      return path
    }
  })

  describe('a folder it must leave alone', () => {
    it('of a newer format is refused, and nothing is changed', async () => {
      await uncleanFolder(3)
      const checkpoint = join(folder, 'checkpoint')
      const file = join(folder, FIRST_FILE)
      const [checkpointBefore, fileBefore] = [await readFile(checkpoint), await readFile(file)]
      await writeFile(
        checkpoint,
        checkpointBefore
          .toString()
          .replace(/^streambus-checkpoint \d+/, `streambus-checkpoint ${CHECKPOINT_VERSION + 1}`),
      )
      let before = await contentsOf(folder)
      expect(await refusalOf(folder)).toMatchObject({ code: 'DATA_NEWER_FORMAT' })
      expect(await contentsOf(folder)).toEqual(before)
      await writeFile(checkpoint, checkpointBefore)
      const header = Buffer.from(fileBefore.subarray(0, 64))
      header.writeUInt32LE(2, 8)
      header.writeUInt32LE(crc32c(header.subarray(8, 64)), 4)
      await overwrite(file, 0, header)
      before = await contentsOf(folder)
      const error = await refusalOf(folder)
      expect(error.code).toBe('DATA_NEWER_FORMAT')
      expect(error.message).toContain(file)
      expect(await contentsOf(folder)).toEqual(before)
    })

    it('is refused while another store has it, in this process', async () => {
      const store = await open(folder)
      const error = await refusalOf(folder)
      expect(error.code).toBe('DATA_LOCKED')
      expect(error.message).toContain(folder)
      await store.close()
      await (await open(folder)).close()
    })

    it('is refused while another process has it, and free when that is killed', async () => {
      const script = `import { LocalLogStore } from ${JSON.stringify(fileURLToPath(new URL('./local-log-store.ts', import.meta.url)))}
        const store = await LocalLogStore.open({ dataDir: ${JSON.stringify(folder)} })
        await store.createTopic({ name: 'theirs', partitions: 1 })
        console.log('open')
        setInterval(() => {}, 1000)`
      const path = join(await newFolder(), 'holder.mts')
      await writeFile(path, script)
      const child = spawn(
        process.execPath,
        ['--conditions=streambus-source', '--import', import.meta.resolve('tsx'), path],
        {
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      )
      try {
        await new Promise<void>((resolve, reject) => {
          child.stdout.once('data', () => resolve())
          child.once('exit', (code) => reject(new Error(`the other process ended with ${code}`)))
        })
        expect((await refusalOf(folder)).code).toBe('DATA_LOCKED')
      } finally {
        const ended = new Promise((resolve) => child.once('exit', resolve))
        child.kill('SIGKILL')
        await ended
      }
      const store = await open(folder)
      expect(store.topics.byName('theirs')).toBeDefined()
    })

    it('is no folder at all', async () => {
      const path = join(folder, 'file')
      await writeFile(path, 'content')
      for (const dataDir of [path, join(path, 'below')]) {
        const error = await refusalOf(dataDir)
        expect(error.code).toBe('DATA_NOT_WRITABLE')
        expect(error.message).toContain(dataDir)
        expect(error.message).toContain('there is a file where a folder has to be')
        expect(error.message).not.toContain('permissions')
      }
      expect(await readFile(path, 'utf8')).toBe('content')
    })

    it.skipIf(process.getuid?.() === 0)('cannot be written to', async () => {
      await chmod(folder, 0o555)
      expect((await refusalOf(folder)).code).toBe('DATA_NOT_WRITABLE')
      await chmod(folder, 0o755)
    })

    it('cannot be written to, as the system says', async () => {
      for (const code of ['EACCES', 'EROFS', 'EPERM']) {
        const readOnly = {
          ...nodeFileSystem,
          async makeFolder(path: string) {
            throw Object.assign(new Error(`${code}: mkdir '${path}'`), { code })
          },
        }
        expect((await refusalOf(folder, { fileSystem: readOnly })).code).toBe('DATA_NOT_WRITABLE')
      }
      expect(await readdir(folder)).toEqual([])
    })

    it('has no room', async () => {
      const full = {
        ...nodeFileSystem,
        async replaceFile(path: string) {
          throw Object.assign(new Error(`ENOSPC: write '${path}'`), { code: 'ENOSPC' })
        },
      }
      expect((await refusalOf(folder, { fileSystem: full })).code).toBe('DISK_FULL')
      // Refused, it holds no lock.
      await open(folder)
    })

    it('gives its open files back when it is refused', async () => {
      const { path } = await uncleanFolder(12)
      const { starts } = await groupsOf(join(path, FIRST_FILE))
      await flip(join(path, FIRST_FILE), starts[5]! + 100)
      const descriptors = async () => (await readdir('/proc/self/fd')).length
      await refusalOf(path)
      const before = await descriptors()
      for (let attempt = 0; attempt < 5; attempt++) await refusalOf(path)
      expect(await descriptors()).toBe(before)
    })
  })

  describe('the lock by process id', () => {
    it('is exclusive, ends with its release, and is taken over from a process that is gone', async () => {
      const path = join(folder, 'lock.pid')
      const lock = await lockByProcessId(path)
      expect(lock).not.toBeNull()
      expect(await readFile(path, 'utf8')).toBe(String(process.pid))
      expect(await lockByProcessId(path)).toBeNull()
      await lock!.release()
      const next = await lockByProcessId(path)
      expect(next).not.toBeNull()
      await next!.release()

      const gone = spawn(process.execPath, ['-e', ''])
      await new Promise((resolve) => gone.once('exit', resolve))
      await writeFile(path, String(gone.pid))
      const taken = await lockByProcessId(path)
      expect(taken).not.toBeNull()
      await taken!.release()
      await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' })
    })

    it('is respected while another process runs', async () => {
      const path = join(folder, 'lock.pid')
      await writeFile(path, String(process.ppid))
      expect(await lockByProcessId(path)).toBeNull()
    })

    it('is taken over from an earlier process with the same id, and from nobody', async () => {
      const path = join(folder, 'lock.pid')
      for (const content of [String(process.pid), '', 'nonsense']) {
        await writeFile(path, content)
        const lock = await lockByProcessId(path)
        expect(lock).not.toBeNull()
        await lock!.release()
      }
      expect(await readdir(folder)).toEqual([])
    })

    it('serves a store where the system’s locks are not to be had', async () => {
      const fileSystem = { ...nodeFileSystem, lock: (path: string) => lockByProcessId(`${path}.pid`) }
      const store = await open(folder, { fileSystem })
      expect(await codeOf(LocalLogStore.open({ dataDir: folder, fileSystem }))).toBe('DATA_LOCKED')
      await store.close()
      await (await open(folder, { fileSystem })).close()
    })
  })

  it('moves with its folder', async () => {
    const { path, log } = await uncleanFolder(5)
    const place = join(await newFolder(), 'a', 'b')
    await mkdir(join(place, '..'), { recursive: true })
    await rename(path, place)
    const store = await open(place)
    expect(labels(await valuesOf(store, log))).toEqual(upTo(5))
  })
})
