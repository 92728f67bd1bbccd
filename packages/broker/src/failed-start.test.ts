import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LocalLogStore } from '@streambus/storage'
import { expect, test, vi } from 'vitest'
import { Broker } from './broker.ts'

vi.mock('./produce/compaction-codecs.ts', () => ({
  prepareForCompaction: () => Promise.reject(new Error('there is no snappy for this platform')),
}))

test('a start that fails when the data folder is open lets go of it', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'streambus-'))
  const store = await LocalLogStore.open({ dataDir })
  await store.createTopic({ name: 'words', partitions: 1, configs: { 'cleanup.policy': 'compact' } })
  await store.close()
  // Kept, so that the garbage collector does not close what the broker should have.
  const open = vi.spyOn(LocalLogStore, 'open')
  await expect(Broker.start({ port: 0, dataDir })).rejects.toThrow('no snappy')
  expect(open.mock.settledResults).toHaveLength(1)
  const again = await LocalLogStore.open({ dataDir })
  expect(again.topics.byName('words')).toBeDefined()
  await again.close()
  await rm(dataDir, { recursive: true })
})
