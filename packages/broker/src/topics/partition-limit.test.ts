import { ErrorCode } from '@streambus/protocol'
import { MemoryLogStore } from '@streambus/storage'
import { expect, test } from 'vitest'
import { PartitionLimit } from './partition-limit.ts'

test('what is under way, what exists and what was deleted all count as they should', async () => {
  const store = await MemoryLogStore.open({})
  await store.createTopic({ name: 'before', partitions: 4 })
  const limit = new PartitionLimit(store, 10)
  expect(limit.reserve(7)).toMatchObject({ errorCode: ErrorCode.POLICY_VIOLATION })
  expect(limit.reserve(6)).toBeUndefined()
  expect(limit.reserve(1)).toMatchObject({ errorMessage: expect.stringContaining('at most 10') })
  const topic = await store.createTopic({ name: 'after', partitions: 6 })
  limit.settle(6)
  expect(limit.reserve(1)).toBeDefined()
  await store.deleteTopic(topic.id)
  expect(limit.reserve(6)).toBeUndefined()
  // A creation that failed leaves its room to others.
  limit.settle(6)
  expect(limit.reserve(6)).toBeUndefined()
  await store.close()
})
