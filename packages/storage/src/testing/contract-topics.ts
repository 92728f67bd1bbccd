import { beforeEach, describe, expect, it } from 'vitest'
import type { LogId, LogStore, Topic } from '../log-store.ts'
import { appendOne, batchOf, codeOf, valuesOf } from './batches.ts'
import { type ContractSuite, errorOf, stateOf } from './contract-suite.ts'

/** What the contract says of topics and of the end of a store. */
export function describeTopics(suite: () => ContractSuite): void {
  let store: LogStore
  let topic: Topic
  let log: LogId

  beforeEach(() => {
    ;({ store, topic, log } = suite())
  })

  describe('topics', () => {
    it('lists what was created, by name and by id', async () => {
      const version = store.topics.version
      const made = await store.createTopic({
        name: 'made',
        partitions: 3,
        configs: { 'retention.ms': '7' },
      })
      expect(made).toMatchObject({ name: 'made', configs: { 'retention.ms': '7' } })
      expect(made.id).toMatch(/^[A-Za-z0-9_-]{22}$/)
      expect(made.logs).toHaveLength(3)
      expect(new Set([...made.logs, ...topic.logs]).size).toBe(5)
      expect(store.topics.byName('made')).toEqual(made)
      expect(store.topics.byId(made.id)).toEqual(made)
      expect([...store.topics.all()].map(({ name }) => name).sort()).toEqual(['made', 'words'])
      expect(store.topics.version).toBeGreaterThan(version)
      expect(store.topics.byName('none')).toBeUndefined()
      expect(store.topics.byId('none')).toBeUndefined()
    })

    it('refuses a name that is taken, also when both are created at once', async () => {
      expect(await codeOf(store.createTopic({ name: 'words', partitions: 1 }))).toBe('TOPIC_EXISTS')
      const outcomes = await Promise.allSettled(
        [1, 2, 3].map((partitions) => store.createTopic({ name: 'twin', partitions })),
      )
      expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected'])
      expect(store.topics.byName('twin')!.logs).toHaveLength(1)
    })

    it('adds partitions and keeps those it has', async () => {
      await appendOne(store, log, batchOf(['a']))
      const version = store.topics.version
      const more = await store.createPartitions(topic.id, 4)
      expect(more.logs.slice(0, 2)).toEqual(topic.logs)
      expect(new Set(more.logs).size).toBe(4)
      expect(store.topics.byName('words')).toEqual(more)
      expect(store.topics.version).toBeGreaterThan(version)
      expect((await appendOne(store, more.logs[3]!, batchOf(['z']))).baseOffset).toBe(0)
      expect(await valuesOf(store, log)).toEqual(['a'])
      expect(topic.logs).toHaveLength(2)
      expect(await codeOf(store.createPartitions('nothing', 9))).toBe('UNKNOWN_TOPIC')
    })

    it('replaces the settings', async () => {
      const made = await store.createTopic({ name: 'made', partitions: 1, configs: { a: '1', b: '2' } })
      const changed = await store.configureTopic(made.id, { b: '3', c: '4' })
      expect(changed.configs).toEqual({ b: '3', c: '4' })
      expect(store.topics.byId(made.id)!.configs).toEqual({ b: '3', c: '4' })
      expect(made.configs).toEqual({ a: '1', b: '2' })
      expect(await codeOf(store.configureTopic('nothing', {}))).toBe('UNKNOWN_TOPIC')
    })

    it('forgets a deleted topic and its logs', async () => {
      await appendOne(store, log, batchOf(['a']))
      await store.deleteTopic(topic.id)
      expect(store.topics.byName('words')).toBeUndefined()
      expect(store.topics.byId(topic.id)).toBeUndefined()
      expect(await store.state([log])).toEqual([])
      const [result] = await store.append([{ logId: log, bytes: batchOf(['b']) }])
      expect(errorOf(result)).toBe('UNKNOWN_LOG')
      expect(await codeOf(store.deleteTopic(topic.id))).toBe('UNKNOWN_TOPIC')
      expect(await codeOf(store.claim(log))).toBe('UNKNOWN_LOG')
    })

    it('gives a topic made again under the same name a new id and new logs', async () => {
      await appendOne(store, log, batchOf(['old']))
      await store.deleteTopic(topic.id)
      const again = await store.createTopic({ name: 'words', partitions: 2 })
      expect(again.id).not.toBe(topic.id)
      for (const logId of again.logs) expect(topic.logs).not.toContain(logId)
      expect(await stateOf(store, again.logs[0]!)).toMatchObject({ highWatermark: 0, sizeBytes: 0 })
      expect((await appendOne(store, again.logs[0]!, batchOf(['new']))).baseOffset).toBe(0)
      expect(await valuesOf(store, again.logs[0]!)).toEqual(['new'])
    })

    it('answers appends that a deletion overtakes, one way or the other', async () => {
      const appends = Array.from({ length: 50 }, (_, index) =>
        store.append([{ logId: log, bytes: batchOf([`v${index}`]) }]),
      )
      const deletion = store.deleteTopic(topic.id)
      const late = Array.from({ length: 50 }, () => store.append([{ logId: log, bytes: batchOf(['late']) }]))
      await deletion
      for (const [result] of await Promise.all([...appends, ...late])) {
        expect([undefined, 'UNKNOWN_LOG']).toContain(errorOf(result))
      }
      expect((await appendOne(store, await newLog(), batchOf(['after']))).baseOffset).toBe(0)
    })

    async function newLog(): Promise<LogId> {
      return (await store.createTopic({ name: 'new', partitions: 1 })).logs[0]!
    }
  })

  describe('close', () => {
    it('refuses everything afterwards with CLOSED, and can be called twice', async () => {
      await appendOne(store, log, batchOf(['a']))
      await store.close()
      await store.close()
      const [appended] = await store.append([{ logId: log, bytes: batchOf(['b']) }])
      expect(appended?.error).toMatchObject({ code: 'CLOSED', inDoubt: false })
      const [result] = await store.read([{ logId: log, offset: 0, maxBytes: 100 }], { maxBytes: 100 })
      expect(errorOf(result)).toBe('CLOSED')
      const changes = [
        store.createTopic({ name: 'more', partitions: 1 }),
        store.createPartitions(topic.id, 9),
        store.configureTopic(topic.id, {}),
        store.deleteTopic(topic.id),
        store.advanceStart(log, 1),
        store.claim(log),
        store.allocateProducerIds(1),
        store.offsetForTime(log, 0),
      ]
      expect(await Promise.all(changes.map(codeOf))).toEqual(changes.map(() => 'CLOSED'))
    })

    it('answers what was under way', async () => {
      const calls = Array.from({ length: 100 }, (_, index) =>
        store.append([{ logId: log, bytes: batchOf([`v${index}`]) }]),
      )
      const creation = store.createTopic({ name: 'late', partitions: 1 }).then(
        () => 'created',
        (error: { code: string }) => error.code,
      )
      await store.close()
      for (const [result] of await Promise.all(calls)) {
        expect([undefined, 'CLOSED']).toContain(errorOf(result))
      }
      expect(['created', 'CLOSED']).toContain(await creation)
    })
  })
}
