import type { ScriptedStore, ScriptOptions } from './scripted-store.ts'

/** Short lives of a store, made so that after each of their I/O operations something else would be lost. */
export interface ShortHistory {
  readonly name: string
  readonly options: ScriptOptions
  live(store: ScriptedStore): Promise<void>
}

const SMALL: ScriptOptions = {
  durability: 'fsync',
  cacheBytes: 48 * 1024,
  fileBytes: 24 * 1024,
  indexCacheBytes: 0,
  prepareFiles: 'never',
}

const scripts: readonly Omit<ShortHistory, 'options'>[] = [
  {
    name: 'topics are made, changed and deleted',
    async live(store) {
      const words = await store.createTopic('words', 2)
      await store.append(words.logs, 100)
      await Promise.all([store.append(words.logs, 3000), store.append([words.logs[1]!], 10)])
      await store.createPartition(words)
      const passing = await store.createTopic('passing', 1)
      await Promise.all([store.append(passing.logs, 10), store.configure(words)])
      await store.deleteTopic(passing)
      await store.append(words.logs, 10)
      await store.close()
    },
  },
  {
    name: 'an idempotent producer sends, and sends again',
    async live(store) {
      const { logs } = await store.createTopic('words', 1)
      for (let count = 0; count < 3; count++) await store.produce(logs[0]!, 2000, 1 + (count % 2))
      await Promise.all([store.produce(logs[0]!, 10), store.produce(logs[0]!, 4000), store.append(logs, 10)])
      await store.close()
      await store.open()
      for (let count = 0; count < 2; count++) await store.produce(logs[0]!, 3000, 2)
      await store.close()
    },
  },
  {
    name: 'transactions are committed, aborted and left open',
    async live(store) {
      const { logs } = await store.createTopic('words', 2)
      const [first, second] = logs as [(typeof logs)[0], (typeof logs)[0]]
      await store.transact(first, 1000, 'commit')
      await Promise.all([store.transact(first, 3000, 'abort'), store.transact(second, 3000, 'commit')])
      await store.transact(second, 10, null)
      await store.append([first, second], 4000)
      await store.transact(first, 10, 'commit')
      await store.close()
    },
  },
  {
    name: 'files are full, get their index and checkpoint, and are given back',
    async live(store) {
      const words = await store.createTopic('words', 1)
      const passing = await store.createTopic('passing', 1)
      for (let count = 0; count < 5; count++) {
        await Promise.all([store.produce(words.logs[0]!, 2500), store.append(passing.logs, 2500)])
      }
      await store.advanceStart(words.logs[0]!, 6)
      await store.deleteTopic(passing)
      await store.maintain()
      await store.append(words.logs, 10)
      await store.close()
    },
  },
  {
    name: 'logs are claimed, producer ids given out, starts moved, over two runs',
    async live(store) {
      const { logs } = await store.createTopic('words', 1)
      await Promise.all([store.claim(logs[0]!), store.allocateProducerIds()])
      for (let count = 0; count < 3; count++) await store.append(logs, 3500)
      await store.advanceStart(logs[0]!, 3)
      await store.close()
      await store.open()
      await store.claim(logs[0]!)
      await store.allocateProducerIds()
      await store.append(logs, 3500)
      await store.maintain()
      await store.close()
    },
  },
]

export const shortHistories: readonly ShortHistory[] = scripts.flatMap((script) => [
  { ...script, options: SMALL },
  { ...script, name: `${script.name}, os durability`, options: { ...SMALL, durability: 'os' } },
  { ...script, name: `${script.name}, prepared files`, options: { ...SMALL, prepareFiles: 'always' } },
])
