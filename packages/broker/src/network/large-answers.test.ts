import { encodeRequest, metadata, produce } from '@streambus/protocol'
import { MemoryLogStore } from '@streambus/storage'
import { expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { CapturedLog } from '../testing/captured-log.ts'
import { withOverrides } from '../testing/controlled-store.ts'
import { RawClient } from '../testing/raw-client.ts'
import { createTopic, produceRequest } from '../testing/requests.ts'
import { until } from '../testing/until.ts'

const MEBIBYTE = 1024 * 1024
const everything = Buffer.concat(
  encodeRequest(metadata, 9, { correlationId: 1, clientId: null }, { topics: null }) as Uint8Array[],
)

/** A broker whose answer to the request above is large, and which counts how often it made that answer. */
async function startCounting() {
  const store = await MemoryLogStore.open()
  let inThisTurn = 0
  const answers = { made: 0, mostInOneTurn: 0, byteLength: 0 }
  const counting = withOverrides(store, {
    state: (ids) => {
      if (ids.length > 1) {
        if (inThisTurn === 0) {
          setImmediate(() => {
            inThisTurn = 0
          })
        }
        answers.made++
        answers.mostInOneTurn = Math.max(answers.mostInOneTurn, ++inThisTurn)
      }
      return store.state(ids)
    },
  })
  const broker = await Broker.start({ port: 0, store: counting, maxResponseBufferBytes: MEBIBYTE })
  const client = await RawClient.connect(broker)
  await createTopic(client, 'wide', { partitions: 8000 })
  await client.request(metadata, 9, { topics: null })
  answers.byteLength = client.socket.bytesRead
  answers.made = 0
  answers.mostInOneTurn = 0
  return { broker, client, answers }
}

test('a client that asks for large answers all at once gets one made after the other', async () => {
  const { broker, client, answers } = await startCounting()
  const greedy = await RawClient.connect(broker)
  greedy.socket.pause()
  greedy.sendBytes(Buffer.concat(Array.from({ length: 200 }, () => everything)))
  await until(() => answers.made > 0)
  for (let asked = 0; asked < 20; asked++) await client.request(metadata, 9, { topics: [] })
  expect(answers.byteLength).toBeGreaterThan(100_000)
  expect(answers.mostInOneTurn * answers.byteLength).toBeLessThan(MEBIBYTE)
  greedy.close()
  client.close()
  await broker.close()
})

test('large answers to many clients that ask at once are bounded before the first is sent', async () => {
  const { broker, client, answers } = await startCounting()
  const clients = await Promise.all(Array.from({ length: 60 }, () => RawClient.connect(broker)))
  await until(() => broker.connectionCount === 61)
  const asked = clients.map((one) => one.request(metadata, 9, { topics: null }))
  await Promise.all(asked)
  expect(answers.made).toBe(60)
  expect(answers.mostInOneTurn * answers.byteLength).toBeLessThan(2 * MEBIBYTE)
  for (const one of [client, ...clients]) one.close()
  await broker.close()
})

test('large answers to producers, who wait for nobody, are bounded by closing the largest', async () => {
  const log = new CapturedLog()
  await using broker = await Broker.start({ port: 0, log, maxResponseBufferBytes: MEBIBYTE })
  // Refused in 70 bytes for each partition, 10 bytes of the request.
  const partitions = Array.from({ length: 100_000 }, (_, index) => ({ index, records: null }))
  const refused = produceRequest('none', partitions, { acks: 7 })
  const clients = await Promise.all(Array.from({ length: 8 }, () => RawClient.connect(broker)))
  for (const client of clients) {
    client.socket.pause()
    client.send(produce, 9, refused)
  }
  await log.has(/memory for responses is full/)
  await until(() => broker.connectionCount < 3)
  for (const client of clients) client.close()
})
