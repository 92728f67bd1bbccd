import { ErrorCode, findCoordinator, metadata } from '@streambus/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { RawClient } from '../testing/raw-client.ts'

let broker: Broker
let client: RawClient

beforeEach(async () => {
  broker = await Broker.start({ port: 0 })
  client = await RawClient.connect(broker)
})

afterEach(async () => {
  client.close()
  await broker.close()
})

const here = () => ({ nodeId: 1, host: broker.host, port: broker.port, errorCode: 0 })
const nowhere = { nodeId: -1, host: '', port: -1 }

test.each([0, 1, 2, 3])('one key, in version %i', async (version) => {
  const answer = await client.request(findCoordinator, version, { key: 'readers' })
  expect(answer).toMatchObject(here())
  const empty = await client.request(findCoordinator, version, { key: '' })
  expect(empty).toMatchObject({ ...nowhere, errorCode: ErrorCode.INVALID_GROUP_ID })
})

test.each([4, 5, 6])('several keys, in version %i', async (version) => {
  const groups = { keyType: 0, coordinatorKeys: ['readers', '', 'writers'] }
  const { coordinators } = await client.request(findCoordinator, version, groups)
  expect(coordinators).toMatchObject([
    { key: 'readers', ...here() },
    { key: '', ...nowhere, errorCode: ErrorCode.INVALID_GROUP_ID },
    { key: 'writers', ...here() },
  ])
  const transactions = { keyType: 1, coordinatorKeys: ['orders', ''] }
  expect((await client.request(findCoordinator, version, transactions)).coordinators).toMatchObject([
    { key: 'orders', ...here() },
    { key: '', ...nowhere, errorCode: ErrorCode.INVALID_REQUEST },
  ])
  const share = { keyType: 2, coordinatorKeys: ['queue'] }
  expect((await client.request(findCoordinator, version, share)).coordinators).toMatchObject([
    {
      key: 'queue',
      ...nowhere,
      errorCode: ErrorCode.INVALID_REQUEST,
      errorMessage: expect.stringMatching(/type 2/),
    },
  ])
})

test('the topic that keeps groups comes with the first one that looks for its coordinator', async () => {
  const topics = async () => (await client.request(metadata, 12, { topics: null })).topics
  expect(await topics()).toEqual([])
  await client.request(findCoordinator, 3, { key: 'readers' })
  const [internal] = await topics()
  expect(internal).toMatchObject({ name: '__consumer_offsets', isInternal: true })
  expect(internal!.partitions).toHaveLength(50)
})
