/** What strangers, scanners and broken clients send to the port of a broker that others are using. */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type Api,
  alterConfigs,
  apiByKey,
  apiVersions,
  createPartitions,
  createTopics,
  deleteTopics,
  describeConfigs,
  encodeRequest,
  incrementalAlterConfigs,
  metadata,
} from '../../packages/protocol/src/index.ts'
import { wireBytes } from '../../packages/protocol/src/testing/frame-of.ts'
import { anyMessage } from '../../packages/protocol/src/testing/message-arbitrary.ts'
import { ensureBuilt } from '../cli/built-cli.ts'
import { type AttackedBroker, closed, HealthyClient, startAttacked } from './attacked-broker.ts'
import { SeededRandom } from './seeded-random.ts'

const MEBIBYTE = 1024 * 1024
/**
 * An idle broker has some 80 MiB, the tail cache may hold 16 MiB here and requests in flight 32 MiB; the rest
 * is garbage that the collector has not taken yet. A claimed length or count that is believed costs far more.
 */
const MAX_RSS_BYTES = 256 * MEBIBYTE

let broker: AttackedBroker
let healthy: HealthyClient

beforeAll(async () => {
  await ensureBuilt()
  broker = await startAttacked(['--durability', 'os', '--cache-bytes', String(16 * MEBIBYTE)])
  healthy = await HealthyClient.start(broker)
}, 120_000)

afterAll(async () => {
  // The connection of somebody who behaves was served all the time, and the process ends as it should.
  expect(await healthy.stop()).toBeGreaterThan(1)
  expect(await broker.rssBytes()).toBeLessThan(MAX_RSS_BYTES)
  expect((await broker.stop()).code).toBe(0)
  await broker[Symbol.asyncDispose]()
})

function frame(length: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const prefix = Buffer.alloc(4)
  prefix.writeInt32BE(length)
  return Buffer.concat([prefix, payload])
}

/** Key, version, correlation id and a null client id, before whatever the body is. */
function request(apiKey: number, version: number, body: Uint8Array = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(10)
  header.writeInt16BE(apiKey, 0)
  header.writeInt16BE(version, 2)
  header.writeInt32BE(7, 4)
  header.writeInt16BE(-1, 8)
  return frame(header.byteLength + body.byteLength, Buffer.concat([header, body]))
}

const random = new SeededRandom(20_261_123)
const HUGE_COUNT = Buffer.of(0x7f, 0xff, 0xff, 0xff)
const HUGE_COMPACT_COUNT = Buffer.of(0xff, 0xff, 0xff, 0xff, 0x07)

test.each<[string, Buffer, RegExp]>([
  ['a frame longer than the bound', frame(100 * MEBIBYTE + 1), /frame of 104857601 bytes/],
  ['a frame of the largest length', frame(0x7fff_ffff), /frame of 2147483647 bytes/],
  ['a negative length', frame(-1), /frame of -1 bytes/],
  ['an empty frame', frame(0), /request of 0 bytes/],
  ['a frame too short for a request', frame(7, Buffer.alloc(7)), /request of 7 bytes/],
  ['a TLS hello', Buffer.from('16030100f8010000f40303', 'hex'), /TLS/],
  ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'), /HTTP/],
  ['an SSH client', Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'), /frame of \d+ bytes/],
  ['an API key that does not exist', request(999, 0), /API key 999/],
  ['an API that is not served', request(4, 0), /API key 4/],
  ['a negative API key', request(-1, 0), /API key -1/],
  ['a version that is too new', request(3, 99), /Metadata version 99/],
  ['a version that is too old', request(1, 0), /Fetch version 0/],
  ['a negative version', request(3, -1), /Metadata version -1/],
  ['an array of 2^31-1 topics', request(3, 1, HUGE_COUNT), /malformed/],
  [
    'a compact array of 2^31-1',
    request(3, 9, Buffer.concat([Buffer.of(0), HUGE_COMPACT_COUNT])),
    /malformed/,
  ],
  ['2^31-1 tagged fields', request(3, 9, HUGE_COMPACT_COUNT), /malformed/],
  ['a request that stops in its header', frame(9, Buffer.of(0, 3, 0, 1, 0, 0, 0, 7, 0)), /malformed/],
])('%s closes the connection, and the log names the peer and the reason', async (_, bytes, reason) => {
  const from = broker.log.length
  const socket = await broker.socket()
  const peer = `${socket.localAddress}:${socket.localPort}`
  socket.write(bytes)
  await closed(socket)
  // One of the 20 lines that are written in 10 seconds.
  const line = await broker.logged(new RegExp(`${peer}: .*${reason.source}`), from)
  expect(line).toMatchObject({ level: 'warn', peer })
})

test('a request that ends in the middle is told from one that was answered', async () => {
  const from = broker.log.length
  const socket = await broker.socket()
  socket.end(frame(1000, Buffer.alloc(10)))
  await closed(socket)
  expect(await broker.logged(/ended in the middle of a request/, from)).toMatchObject({ level: 'warn' })
})

test('ApiVersions of the future is answered with ours, and the connection goes on', async () => {
  const socket = await broker.socket()
  const answer = new Promise<Buffer>((resolve) => socket.once('data', resolve))
  socket.write(request(18, 99))
  const bytes = await answer
  expect(bytes.readInt32BE(4)).toBe(7)
  expect(bytes.readInt16BE(8)).toBe(35)
  socket.destroy()
})

test('many peers that stop in the middle of a request disturb nobody', async () => {
  const stalled = await Promise.all(Array.from({ length: 50 }, () => broker.socket()))
  for (const socket of stalled) socket.write(frame(50 * MEBIBYTE, random.bytes(1024)))
  const other = await HealthyClient.start(broker, 'beside-stalled')
  expect(await other.stop()).toBeGreaterThan(0)
  expect(await broker.rssBytes()).toBeLessThan(MAX_RSS_BYTES)
  for (const socket of stalled) socket.destroy()
})

test('random bytes end in a closed connection, and the log does not grow with them', async () => {
  const rounds = 300
  const from = broker.log.length
  for (let round = 0; round < rounds; round += 20) {
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        const socket = await broker.socket()
        // Half of them with a believable length, so that the request itself is looked at.
        const payload = random.bytes(1 + random.below(200))
        socket.end(random.below(2) === 0 ? payload : frame(payload.byteLength, payload))
        await closed(socket)
      }),
    )
  }
  // 20 lines in 10 seconds are written, the rest is counted.
  expect(broker.log.length - from).toBeLessThan(rounds / 2)
})

test('every request of every API and version, damaged, is answered or closes its connection', async () => {
  const client = await broker.connect()
  const { apiKeys } = await client.request(apiVersions, 3, {
    clientSoftwareName: 'fuzz',
    clientSoftwareVersion: '1',
  })
  client.close()
  expect(apiKeys.length).toBeGreaterThan(10)
  for (const { apiKey, minVersion, maxVersion } of apiKeys) {
    const api = apiByKey(apiKey)!
    for (let version = Math.max(minVersion, api.request.minVersion); version <= maxVersion; version++) {
      const valid = validRequest(api, version)
      await Promise.all(damaged(valid).map((bytes) => sendAndEnd(bytes)))
    }
    expect(await broker.rssBytes()).toBeLessThan(MAX_RSS_BYTES)
  }
  // Nothing of it was taken for a fault of the broker's own.
  expect(broker.log.filter(({ level }) => level === 'error')).toEqual([])
}, 60_000)

function validRequest(api: Api, version: number): Buffer {
  const seed = api.key * 100 + version
  const [body] = fc.sample(anyMessage(api.request, version), { numRuns: 1, seed })
  return wireBytes(encodeRequest(api, version, { correlationId: 7, clientId: 'fuzz' }, body as never))
}

/** The request whole, and with bits flipped, its end cut off, and lengths in it replaced. */
function damaged(valid: Buffer): Buffer[] {
  const header = 14
  const variants = [valid]
  for (let i = 0; i < 3; i++) {
    const flipped = Buffer.from(valid)
    for (let bits = 1 + random.below(8); bits > 0; bits--) {
      const at = 12 + random.below(flipped.byteLength - 12)
      flipped[at] = flipped[at]! ^ (1 << random.below(8))
    }
    variants.push(flipped)
  }
  const cut = valid.subarray(4, 4 + header + random.below(valid.byteLength - header - 3))
  variants.push(frame(cut.byteLength, cut))
  const lengths = Buffer.from(valid)
  const huge = random.below(2) === 0 ? HUGE_COUNT : HUGE_COMPACT_COUNT
  huge.copy(lengths, Math.min(lengths.byteLength - huge.byteLength, header + random.below(40)))
  variants.push(lengths)
  return variants
}

/** Resolves when the broker has answered or closed. */
async function sendAndEnd(bytes: Buffer): Promise<void> {
  const socket = await broker.socket()
  const answered = new Promise<void>((resolve) => socket.once('data', () => resolve()))
  socket.write(bytes)
  // A valid fetch may wait for records: nobody waits with it, its client leaves.
  const patience = new Promise<void>((resolve) => setTimeout(resolve, 50))
  await Promise.race([answered, closed(socket), patience])
  socket.destroy()
}

test('names as long as the protocol allows do not make answers that cannot be written', async () => {
  const name = 'n'.repeat(0x7fff)
  const topics = [
    { name, numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] },
    { name, numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] },
  ]
  const resource = { resourceType: 2, resourceName: name, configs: [{ name, value: name }] }
  const small = { resourceType: 2, resourceName: 'healthy', configs: [{ name, value: null }] }
  const broker4 = { resourceType: 4, resourceName: name, configs: [{ name, value: name }] }
  const altered = [resource, small, broker4]
  const client = await broker.connect()
  for (const version of [1, 4, 7]) await client.request(createTopics, version, { topics, timeoutMs: 1 })
  for (const version of [0, 1, 3]) {
    const body = { topics: [{ name, count: 2, assignments: null }], timeoutMs: 1, validateOnly: false }
    await client.request(createPartitions, version, body)
    await client.request(createPartitions, version, { ...body, topics: [...body.topics, ...body.topics] })
  }
  for (const version of [0, 2]) {
    await client.request(alterConfigs, version, { resources: altered, validateOnly: false })
  }
  for (const version of [0, 1]) {
    const resources = altered.map((one) => ({
      ...one,
      configs: [{ name, configOperation: 0, value: name }],
    }))
    await client.request(incrementalAlterConfigs, version, { resources, validateOnly: false })
  }
  for (const version of [0, 4]) {
    const resources = altered.map(({ resourceType, resourceName }) => ({
      resourceType,
      resourceName,
      configurationKeys: [name],
    }))
    await client.request(describeConfigs, version, { resources })
  }
  for (const version of [1, 5])
    await client.request(deleteTopics, version, { topicNames: [name], timeoutMs: 1 })
  for (const version of [1, 9]) await client.request(metadata, version, { topics: [{ name }] })
  client.close()
  // Compact strings could be longer: such a request is not taken, as its names could not be sent back.
  const tooLong = await broker.socket()
  const topics9 = Buffer.concat([
    Buffer.of(0, 2, 0x81, 0x80, 0x02),
    Buffer.alloc(0x8000, 'n'),
    Buffer.alloc(5),
  ])
  tooLong.write(request(3, 9, topics9))
  await closed(tooLong)
  const noText = await broker.socket()
  noText.write(request(3, 1, Buffer.concat([Buffer.of(0, 0, 0, 1, 0x7f, 0xff), Buffer.alloc(0x7fff, 0xff)])))
  await closed(noText)
  expect(broker.log.filter(({ level }) => level === 'error')).toEqual([])
})

test('the broker is asked and answers as if nothing had happened', async () => {
  const client = await broker.connect()
  const { topics } = await client.request(metadata, 9, { topics: [{ name: 'healthy' }] })
  expect(topics[0]).toMatchObject({ errorCode: 0, name: 'healthy' })
  client.close()
})
