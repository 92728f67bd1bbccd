import { apiVersions, ErrorCode, metadata } from '@streambus/protocol'
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

test('the same table in every version', async () => {
  for (let version = 0; version <= 4; version++) {
    const answer = await client.request(apiVersions, version, {
      ...(version >= 3 && { clientSoftwareName: 'test', clientSoftwareVersion: '1.0-beta.2' }),
    })
    expect(answer).toMatchObject({ errorCode: 0 })
    expect(
      answer.apiKeys.map(({ apiKey, minVersion, maxVersion }) => [apiKey, minVersion, maxVersion]),
    ).toEqual([
      [0, 0, 13],
      [1, 4, 17],
      [2, 0, 11],
      [3, 0, 13],
      [8, 0, 10],
      [9, 0, 10],
      [10, 0, 6],
      [11, 0, 9],
      [12, 0, 4],
      [13, 0, 5],
      [14, 0, 5],
      [15, 0, 6],
      [16, 0, 5],
      [18, 0, 4],
      [19, 0, 7],
      [20, 0, 6],
      [21, 0, 2],
      [22, 0, 5],
      [23, 2, 4],
      [24, 0, 3],
      [25, 0, 4],
      [26, 0, 5],
      [27, 1, 2],
      [28, 0, 5],
      [32, 0, 4],
      [33, 0, 2],
      [35, 0, 4],
      [37, 0, 3],
      [42, 0, 2],
      [44, 0, 1],
      [47, 0, 0],
      [60, 0, 2],
      [61, 0, 0],
      [65, 0, 0],
      [66, 0, 2],
      [68, 0, 1],
      [69, 0, 1],
    ])
  }
})

test('features whose APIs are served are finalized; those supported from level 0 on only version 4 may see', async () => {
  const names = async (version: number) => {
    const software = { clientSoftwareName: 'test', clientSoftwareVersion: '1' }
    const answer = await client.request(apiVersions, version, version >= 3 ? software : {})
    const has = ({ name }: { name: string }) => name === 'transaction.version'
    return {
      supported: answer.supportedFeatures.find(has),
      finalized: answer.finalizedFeatures.find(has),
      epoch: answer.finalizedFeaturesEpoch,
    }
  }
  const finalized = { name: 'transaction.version', minVersionLevel: 2, maxVersionLevel: 2 }
  expect(await names(2)).toEqual({ supported: undefined, finalized: undefined, epoch: -1n })
  expect(await names(3)).toEqual({ supported: undefined, finalized, epoch: 1n })
  expect(await names(4)).toEqual({
    supported: { name: 'transaction.version', minVersion: 0, maxVersion: 2 },
    finalized,
    epoch: 1n,
  })
})

test('a version above ours is answered in version 0 with our range, and the connection goes on', async () => {
  const frame = Buffer.from('0000000c001200090000002affff00c8', 'hex')
  const answer = new Promise<Buffer>((resolve) => {
    client.socket.removeAllListeners('data')
    client.socket.once('data', resolve)
  })
  client.sendBytes(frame)
  const response = await answer
  // Length, correlation id, error, one API: key, minimum, maximum.
  expect(response.toString('hex')).toBe('00000010' + '0000002a' + '0023' + '00000001' + '001200000004')
  const closed = await Promise.race([client.closed.then(() => true), Promise.resolve(false)])
  expect(closed).toBe(false)
})

test.each([
  ['', '1'],
  ['x', ''],
  ['has space', '1'],
  ['-x', '1'],
  ['x', '1.'],
])(
  'software name %j, version %j: INVALID_REQUEST, and the connection goes on',
  async (clientSoftwareName, clientSoftwareVersion) => {
    const answer = await client.request(apiVersions, 3, { clientSoftwareName, clientSoftwareVersion })
    expect(answer.errorCode).toBe(ErrorCode.INVALID_REQUEST)
    expect((await client.request(metadata, 9, { topics: [] })).controllerId).toBe(1)
  },
)
