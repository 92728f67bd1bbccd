import fc from 'fast-check'
import kafkajs from 'kafkajs'
import { expect, test } from 'vitest'
import { Partitioners } from './partitioners.ts'

const partitionMetadata = Array.from({ length: 7 }, (_, partitionId) => ({
  partitionErrorCode: 0,
  partitionId,
  leader: 1,
  replicas: [1],
  isr: [1],
}))

test.each(['DefaultPartitioner', 'LegacyPartitioner', 'JavaCompatiblePartitioner'] as const)(
  '%s sends every key where kafkajs sends it',
  (name) => {
    const theirs = kafkajs.Partitioners[name]()
    const ours = Partitioners[name]()
    const keys = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    )
    fc.assert(
      fc.property(keys, (key) => {
        const sent = { topic: 't', partitionMetadata, message: { key, value: '' } }
        expect(ours(sent)).toBe(theirs(sent))
      }),
      { numRuns: 2_000 },
    )
  },
)

test('a partition that is named counts more than a key', () => {
  const message = { key: 'k', value: '', partition: 3 }
  expect(Partitioners.DefaultPartitioner()({ topic: 't', partitionMetadata, message })).toBe(3)
})

test('without a key the partitions that have a leader take turns', () => {
  const some = partitionMetadata.map((one) => ({ ...one, leader: one.partitionId < 3 ? 1 : -1 }))
  const partitioner = Partitioners.DefaultPartitioner()
  const next = () => partitioner({ topic: 't', partitionMetadata: some, message: { value: '' } })
  const first = [next(), next(), next()]
  expect([...first].sort()).toEqual([0, 1, 2])
  expect([next(), next(), next()]).toEqual(first)
})
