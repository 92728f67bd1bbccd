import { deleteRecords, ErrorCode } from '@streambus/protocol'
import { expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { RawClient } from '../testing/raw-client.ts'
import { batchOf, createTopic, fetchPartition, produceBatch, valuesOf } from '../testing/requests.ts'

test('records before an offset are gone for good, in every version; -1 is all of them', async () => {
  await using broker = await Broker.start({ port: 0 })
  const client = await RawClient.connect(broker)
  await createTopic(client, 'words')
  for (const word of ['a', 'b', 'c', 'd', 'e']) await produceBatch(client, 'words', batchOf([word]))
  const removeBefore = async (version: number, offset: bigint, partitionIndex = 0) => {
    const topics = [{ name: 'words', partitions: [{ partitionIndex, offset }] }]
    const answer = await client.request(deleteRecords, version, { topics, timeoutMs: 1000 })
    return answer.topics[0]!.partitions[0]
  }
  expect(await removeBefore(0, 1n)).toMatchObject({ partitionIndex: 0, lowWatermark: 1n, errorCode: 0 })
  expect(await removeBefore(1, 3n)).toMatchObject({ lowWatermark: 3n, errorCode: 0 })
  expect(await removeBefore(2, 2n)).toMatchObject({ lowWatermark: 3n, errorCode: 0 })
  expect(await fetchPartition(client, 'words', 2)).toMatchObject({ errorCode: ErrorCode.OFFSET_OUT_OF_RANGE })
  expect(valuesOf((await fetchPartition(client, 'words', 3)).records)).toMatchObject([
    { offset: 3, value: 'd' },
    { offset: 4, value: 'e' },
  ])
  const refused = (errorCode: number) => ({ lowWatermark: -1n, errorCode })
  expect(await removeBefore(2, 6n)).toMatchObject(refused(ErrorCode.OFFSET_OUT_OF_RANGE))
  expect(await removeBefore(2, -2n)).toMatchObject(refused(ErrorCode.OFFSET_OUT_OF_RANGE))
  expect(await removeBefore(2, 4n, 1)).toMatchObject(refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION))
  expect(await removeBefore(2, -1n)).toMatchObject({ lowWatermark: 5n, errorCode: 0 })
  expect(valuesOf((await fetchPartition(client, 'words', 5)).records)).toEqual([])
  client.close()
})
