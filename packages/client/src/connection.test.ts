import net from 'node:net'
import {
  type Api,
  apiVersions,
  decodeRequestHeader,
  encodeResponse,
  FrameDecoder,
  metadata,
  type RequestHeader,
} from '@streambus/protocol'
import { afterEach, expect, test } from 'vitest'
import { Connection, type ConnectionOptions } from './connection.ts'

type Answer = (
  header: RequestHeader,
  reply: (api: Api, version: number, correlationId: number, body: object) => void,
) => void

const servers: net.Server[] = []
const connections: Connection[] = []

afterEach(() => {
  for (const connection of connections.splice(0)) connection.close()
  for (const server of servers.splice(0)) server.close()
})

/** A peer that answers frame by frame as the test says: what brokers of other ages and faults do. */
async function open(answer: Answer, options: Partial<ConnectionOptions> = {}): Promise<Connection> {
  const server = net.createServer((socket) => {
    const decoder = new FrameDecoder({ maxFrameBytes: 1_000_000 })
    socket.on('error', () => {})
    socket.on('data', (chunk) =>
      decoder.push(chunk, (frame) =>
        answer(decodeRequestHeader(frame).header, (api, version, correlationId, body) => {
          for (const part of encodeResponse(api, version, correlationId, body))
            socket.write(part as Uint8Array)
        }),
      ),
    )
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const connection = await Connection.open({
    address: { host: '127.0.0.1', port: (server.address() as net.AddressInfo).port },
    clientId: 'test',
    connectTimeoutMs: 5_000,
    requestTimeoutMs: 5_000,
    maxFrameBytes: 1_000_000,
    ...options,
  })
  connections.push(connection)
  return connection
}

const offered = (...ranges: [api: Api, min: number, max: number][]) => ({
  errorCode: 0,
  apiKeys: ranges.map(([{ key }, minVersion, maxVersion]) => ({ apiKey: key, minVersion, maxVersion })),
  throttleTimeMs: 0,
})
const noTopics = { brokers: [], topics: [], clusterId: 'c', controllerId: 1 }
const askMetadata = { topics: [] }

test('a broker that does not know our ApiVersions version is asked again in the one it names', async () => {
  const asked: number[] = []
  const connection = await open(({ apiVersion, correlationId }, reply) => {
    asked.push(apiVersion)
    if (apiVersion > 1)
      reply(apiVersions, 0, correlationId, { ...offered([apiVersions, 0, 1]), errorCode: 35 })
    else reply(apiVersions, apiVersion, correlationId, offered([apiVersions, 0, 1], [metadata, 0, 5]))
  })
  expect(asked).toEqual([3, 1])
  expect(connection.versionOf(metadata)).toBe(5)
  expect(connection.versionOf(metadata, 2)).toBe(2)
})

test('a request the broker does not offer in a version of ours is refused without being sent', async () => {
  const connection = await open(({ correlationId }, reply) =>
    reply(apiVersions, 3, correlationId, offered([apiVersions, 0, 4], [metadata, 90, 99])),
  )
  await expect(connection.request(metadata, askMetadata)).rejects.toMatchObject({
    code: 'UNSUPPORTED_API',
    message: expect.stringContaining('offers versions 90 to 99'),
  })
})

test('requests leave in order, no more than the bound at once, and answers find their requests', async () => {
  const waiting: (() => void)[] = []
  let arrived = 0
  const connection = await open(
    ({ apiKey, apiVersion, correlationId }, reply) => {
      if (apiKey === apiVersions.key) {
        reply(apiVersions, apiVersion, correlationId, offered([apiVersions, 0, 4], [metadata, 0, 12]))
        return
      }
      arrived++
      const name = `answer ${arrived}`
      waiting.push(() => reply(metadata, apiVersion, correlationId, { ...noTopics, clusterId: name }))
    },
    { maxInFlightRequests: 3 },
  )
  const asking = Array.from({ length: 8 }, () => connection.request(metadata, askMetadata))
  await expect.poll(() => arrived).toBe(3)
  await new Promise((resolve) => setTimeout(resolve, 30))
  expect(arrived).toBe(3)
  expect(connection.pendingRequests).toBe(8)
  for (let answered = 0; answered < 8; answered++) {
    await expect.poll(() => waiting.length).toBeGreaterThan(answered)
    waiting[answered]!()
  }
  expect((await Promise.all(asking)).map(({ clusterId }) => clusterId)).toEqual(
    asking.map((_, index) => `answer ${index + 1}`),
  )
})

test('an answer to another request than the oldest ends the connection', async () => {
  const connection = await open(({ apiKey, apiVersion, correlationId }, reply) => {
    if (apiKey === apiVersions.key) reply(apiVersions, apiVersion, correlationId, offered([metadata, 0, 12]))
    else reply(metadata, apiVersion, correlationId + 1, noTopics)
  })
  const both = [connection.request(metadata, askMetadata), connection.request(metadata, askMetadata)]
  for (const result of await Promise.allSettled(both)) {
    expect(result).toMatchObject({ status: 'rejected', reason: { code: 'PROTOCOL_ERROR' } })
  }
  expect(connection.isOpen).toBe(false)
  await expect(connection.request(metadata, askMetadata)).rejects.toMatchObject({ code: 'PROTOCOL_ERROR' })
})

test('an answer that does not come costs the connection, and the requests behind it say so', async () => {
  const connection = await open(({ apiKey, apiVersion, correlationId }, reply) => {
    if (apiKey === apiVersions.key) reply(apiVersions, apiVersion, correlationId, offered([metadata, 0, 12]))
  })
  const ended: number[] = []
  connection.onEnd((_, unanswered) => ended.push(unanswered))
  const first = connection.request(metadata, askMetadata, { timeoutMs: 50 })
  const second = connection.request(metadata, askMetadata)
  await expect(first).rejects.toMatchObject({ code: 'REQUEST_TIMEOUT' })
  await expect(second).rejects.toMatchObject({ code: 'CONNECTION_LOST', retriable: true })
  expect(ended).toHaveLength(1)
})
