import { cp, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { encodeRecordBatch } from '@streambus/protocol'
import { LocalLogStore } from '@streambus/storage'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { contentsOf } from '../../packages/storage/src/testing/data-folder.ts'
import { ensureBuilt, temporaryFolder } from './built-cli.ts'
import { hasTerminals, onTerminal } from './terminal.ts'

const FIRST_FILE = '00000000000000000001.log'
const PROMPT = /Cut it off\? Type yes: $/
const CTRL_C = '\x03'
const CTRL_D = '\x04'

describe.skipIf(!hasTerminals)('log repair on a terminal', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>
  let written: string
  let copies = 0

  beforeAll(async () => {
    await ensureBuilt()
    folder = await temporaryFolder()
    written = join(folder.path, 'written')
    const store = await LocalLogStore.open({ dataDir: written, prepareFiles: 'never' })
    const { logs } = await store.createTopic({ name: 'words', partitions: 1 })
    const bytes = encodeRecordBatch([{ value: 'a word', timestamp: 1000 }])
    for (let index = 0; index < 5; index++) await store.append([{ logId: logs[0]!, bytes }])
    await store.close()
  }, 120_000)

  afterAll(async () => {
    await folder[Symbol.asyncDispose]()
  })

  async function repair(keys: string) {
    const data = join(folder.path, `copy-${++copies}`)
    await cp(written, data, { recursive: true })
    const before = await contentsOf(data)
    const cut = ['log', 'repair', data, '--truncate-at', `${FIRST_FILE}:4096`]
    const { code, screen } = await onTerminal(cut, PROMPT, keys)
    const isUnchanged = JSON.stringify([...(await contentsOf(data))]) === JSON.stringify([...before])
    return { data, code, screen: stripVTControlCharacters(screen).replaceAll('\r', ''), isUnchanged }
  }

  test('it says what is lost, asks, and cuts when the answer is yes', async () => {
    const { data, code, screen } = await repair('yes\n')
    expect(code).toBe(0)
    expect(screen).toMatch(
      /^Cutting the log before byte 4096 of 0{19}1\.log\.\n5 records in 1 partition are lost:\n/,
    )
    expect(screen.indexOf('words')).toBeLessThan(screen.indexOf('Cut it off? Type yes: '))
    expect(screen).toMatch(/Cut it off\? Type yes: yes\n+Cut\. What was cut is kept in:\n/)
    // What is lost is said once.
    expect(screen.match(/are lost/g)).toHaveLength(1)
    expect((await readdir(join(data, 'log'))).some((name) => name.endsWith('.damaged'))).toBe(true)
  })

  test.each([
    ['no', 'no\n'],
    ['y', 'y\n'],
    ['nothing', '\n'],
  ])('it changes nothing when the answer is %s', async (_, keys) => {
    const { code, screen, isUnchanged } = await repair(keys)
    expect({ code, isUnchanged }).toEqual({ code: 1, isUnchanged: true })
    expect(screen).toMatch(/error: Nothing was changed\.\n$/)
  })

  test.each([
    ['Ctrl-C', CTRL_C],
    ['Ctrl-D', CTRL_D],
  ])('it changes nothing when it is left with %s', async (_, keys) => {
    const { code, screen, isUnchanged } = await repair(keys)
    expect({ code, isUnchanged }).toEqual({ code: 1, isUnchanged: true })
    expect(screen).toMatch(/Type yes: (\^C)?\nerror: Nothing was changed\.\n$/)
  })
})
