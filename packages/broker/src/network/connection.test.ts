import { once } from 'node:events'
import { connect } from 'node:net'
import {
  apiVersions,
  ErrorCode,
  encodeRequest,
  fetch,
  listOffsets,
  metadata,
  produce,
} from '@streambus/protocol'
import { MemoryLogStore, type RecordBytes } from '@streambus/storage'
import { expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { CapturedLog } from '../testing/captured-log.ts'
import { StallingStore, withOverrides, withRecords } from '../testing/controlled-store.ts'
import { RawClient } from '../testing/raw-client.ts'
import {
  batchOf,
  createTopic,
  fetchPartition,
  fetchRequest,
  produceBatch,
  produceRequest,
  valuesOf,
} from '../testing/requests.ts'
import { until } from '../testing/until.ts'

const softwareName = { clientSoftwareName: 'test', clientSoftwareVersion: '1.0' }

test('responses leave in the order of the requests, whatever takes longer', async () => {
  const stalling = new StallingStore(await MemoryLogStore.open())
  await using broker = await Broker.start({ port: 0, store: stalling.store })
  const client = await RawClient.connect(broker)
  await createTopic(client, 'words')
  const finished: string[] = []
  const note = (name: string) => (): void => {
    finished.push(name)
  }
  const all = [
    client
      .request(produce, 9, produceRequest('words', [{ index: 0, records: batchOf(['a']) }]))
      .then(note('appended')),
    // Refused without an append, so its answer is ready first.
    client.request(produce, 9, produceRequest('words', [{ index: 5, records: null }])).then(note('refused')),
    client.request(apiVersions, 3, softwareName).then(note('versions')),
    client
      .request(produce, 9, produceRequest('words', [{ index: 0, records: batchOf(['b']) }]))
      .then(note('appended again')),
  ]
  await until(() => stalling.waiting === 1)
  stalling.letGo()
  await Promise.all(all)
  expect(finished).toEqual(['appended', 'refused', 'versions', 'appended again'])
})

test('produce requests of one connection are appended together, in order', async () => {
  const stalling = new StallingStore(await MemoryLogStore.open())
  await using broker = await Broker.start({ port: 0, store: stalling.store })
  const client = await RawClient.connect(broker)
  await createTopic(client, 'words')
  const answers = Array.from({ length: 20 }, (_, i) => produceBatch(client, 'words', batchOf([`${i}`])))
  await until(() => stalling.waiting === 20)
  stalling.letGo()
  expect((await Promise.all(answers)).map(({ baseOffset }) => baseOffset)).toEqual(
    Array.from({ length: 20 }, (_, i) => BigInt(i)),
  )
})

test('nothing overtakes a long poll', async () => {
  await using broker = await Broker.start({ port: 0 })
  const client = await RawClient.connect(broker)
  await createTopic(client, 'words')
  const finished: string[] = []
  const poll = client
    .request(fetch, 12, fetchRequest('words', [{ partition: 0, fetchOffset: 0 }], { maxWaitMs: 60_000 }))
    .then(() => finished.push('poll'))
  const behind = produceBatch(client, 'words', batchOf(['behind'])).then(() => finished.push('produce'))
  const other = await RawClient.connect(broker)
  await produceBatch(other, 'words', batchOf(['wakes it']))
  await Promise.all([poll, behind])
  expect(finished).toEqual(['poll', 'produce'])
})

test('five hundred requests in one write, and one request byte by byte', async () => {
  await using broker = await Broker.start({ port: 0 })
  const client = await RawClient.connect(broker)
  await createTopic(client, 'words')
  const answers = await Promise.all(
    Array.from({ length: 500 }, (_, i) =>
      i % 10 === 0
        ? client.request(metadata, 9, { topics: [] })
        : produceBatch(client, 'words', batchOf(['x'])),
    ),
  )
  expect(answers).toHaveLength(500)

  const parts = encodeRequest(metadata, 9, { correlationId: 77, clientId: null }, { topics: [] })
  const socket = connect(broker.port, broker.host)
  socket.setNoDelay(true)
  const answer = once(socket, 'data')
  for (const byte of Buffer.concat(parts as Uint8Array[])) {
    await new Promise((resolve) => socket.write(Uint8Array.of(byte), resolve))
  }
  const [response] = (await answer) as [Buffer]
  expect(response.readInt32BE(4)).toBe(77)
  socket.destroy()
  client.close()
})

test('memory of large requests is used again without mixing up their content', async () => {
  await using broker = await Broker.start({ port: 0 })
  const client = await RawClient.connect(broker)
  await createTopic(client, 'words')
  const values = Array.from({ length: 12 }, (_, i) => `${i % 10}`.repeat(100_000 + i * 70_000))
  await Promise.all(values.map((value) => produceBatch(client, 'words', batchOf([value]))))
  for (const [offset, value] of values.entries()) {
    const [record] = valuesOf((await fetchPartition(client, 'words', offset)).records)
    expect(record!.value === value).toBe(true)
  }
})

test.each([
  ['a frame too long', Buffer.from([0x7f, 0, 0, 0, 1, 2]), /it sent a frame of \d+ bytes/],
  ['a negative length', Buffer.from([0xff, 0xff, 0xff, 0xff]), /it sent a frame of -1 bytes/],
  ['a TLS hello', Buffer.from('16030102000100', 'hex'), /TLS handshake/],
  ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), /HTTP request/],
  ['an empty frame', Buffer.alloc(4), /a request of 0 bytes/],
  ['an unknown API key', Buffer.from('0000000a03e7000000000001ffff', 'hex'), /API key 999/],
  ['an unknown version', Buffer.from('0000000a00030063000000010000', 'hex'), /Metadata version 99/],
  ['a truncated body', Buffer.from('0000000c000300000000000100000000', 'hex'), /malformed request/],
])('%s: that connection is closed with a log line, others go on', async (_, bytes, line) => {
  const log = new CapturedLog()
  await using broker = await Broker.start({ port: 0, log })
  const good = await RawClient.connect(broker)
  const bad = await RawClient.connect(broker)
  const peer = `127.0.0.1:${bad.socket.localPort}`
  bad.sendBytes(bytes)
  await bad.closed
  await log.has(line)
  expect(log.lines.filter(({ message }) => line.test(message))).toEqual([
    { level: 'warn', fields: { peer }, message: expect.stringContaining(peer) },
  ])
  expect((await good.request(metadata, 9, { topics: [] })).controllerId).toBe(1)
  good.close()
})

test('a connection that ends inside a request is told of in the log', async () => {
  const log = new CapturedLog()
  await using broker = await Broker.start({ port: 0, log })
  const client = await RawClient.connect(broker)
  client.socket.end(Buffer.from([0, 0, 1, 0, 9, 9, 9]))
  await log.has(/ended in the middle of a request, after 3 bytes/)
})

test('random bytes close the connection or wait for more, and nothing else happens', async () => {
  await using broker = await Broker.start({ port: 0, maxFrameBytes: 1024 * 1024 })
  let seed = 12_345
  for (let round = 0; round < 100; round++) {
    const bytes = Buffer.alloc(300)
    for (let i = 0; i < bytes.length; i++) {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
      bytes[i] = seed >>> 16
    }
    // A plausible length makes the rest be read as a request.
    if (round % 2 === 0) bytes.writeInt32BE(296, 0)
    if (round % 4 === 0) bytes.writeInt16BE(round % 5, 4)
    const client = await RawClient.connect(broker)
    client.socket.end(bytes)
    await client.closed
  }
  await using probe = await Broker.start({ port: 0 })
  expect(probe.connectionCount).toBe(0)
  const good = await RawClient.connect(broker)
  expect((await good.request(metadata, 9, { topics: [] })).controllerId).toBe(1)
  good.close()
})

test('a bug in a handler closes that connection with a stack in the log, and the broker lives', async () => {
  const log = new CapturedLog()
  const store = withOverrides(await MemoryLogStore.open(), {
    read: () => {
      throw new TypeError('a bug')
    },
  })
  await using broker = await Broker.start({ port: 0, log, store })
  const client = await RawClient.connect(broker)
  await createTopic(client, 'words')
  await expect(fetchPartition(client, 'words', 0)).rejects.toThrow('closed')
  await log.has(/could not answer a request/)
  expect(log.lines.at(-1)).toMatchObject({ level: 'error', fields: { err: { message: 'a bug' } } })
  const other = await RawClient.connect(broker)
  expect(await produceBatch(other, 'words', batchOf(['x']))).toMatchObject({ errorCode: 0 })
  other.close()
})

test('while storage is stalled, a client that sends without end is not read beyond the bound', async () => {
  const maxInFlightBytes = 2 * 1024 * 1024
  const stalling = new StallingStore(await MemoryLogStore.open())
  await using broker = await Broker.start({ port: 0, store: stalling.store, maxInFlightBytes })
  const admin = await RawClient.connect(broker)
  await createTopic(admin, 'words')
  const batch = batchOf(['x'.repeat(100_000)])
  const clients = await Promise.all(Array.from({ length: 4 }, () => RawClient.connect(broker)))
  const answers = clients.flatMap((client) =>
    Array.from({ length: 60 }, () => produceBatch(client, 'words', batch)),
  )
  await until(() => stalling.waiting * batch.byteLength > maxInFlightBytes - 2 * batch.byteLength)
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 5))
  // What is started exceeds the bound by less than one read and one request of each connection.
  expect(stalling.waiting * batch.byteLength).toBeLessThan(
    maxInFlightBytes + 4 * (64 * 1024 + batch.byteLength),
  )
  expect(clients.some((client) => client.socket.writableLength > 0)).toBe(true)
  stalling.letGo()
  const offsets = (await Promise.all(answers)).map(({ baseOffset }) => Number(baseOffset))
  expect(offsets.sort((a, b) => a - b)).toEqual(Array.from({ length: 240 }, (_, i) => i))
  for (const client of [admin, ...clients]) client.close()
})

test('unfinished requests that fill the memory do not stop other clients', async () => {
  const log = new CapturedLog()
  await using broker = await Broker.start({
    port: 0,
    log,
    maxInFlightBytes: 256 * 1024,
    maxFrameBytes: 1024 * 1024,
  })
  const stuck = await Promise.all(Array.from({ length: 6 }, () => RawClient.connect(broker)))
  for (const client of stuck) {
    const part = Buffer.alloc(300 * 1024)
    part.writeInt32BE(1024 * 1024, 0)
    client.sendBytes(part)
  }
  const good = await RawClient.connect(broker)
  await createTopic(good, 'words')
  for (let i = 0; i < 5; i++) {
    expect(await produceBatch(good, 'words', batchOf(['x']))).toMatchObject({ errorCode: 0 })
  }
  for (const client of [good, ...stuck]) client.close()
})

test('unfinished requests far beyond the memory close the connections that hold most', async () => {
  const log = new CapturedLog()
  const limits = { maxInFlightBytes: 64 * 1024, maxFrameBytes: 512 * 1024 }
  await using broker = await Broker.start({ port: 0, log, ...limits })
  const stuck = await Promise.all(Array.from({ length: 8 }, () => RawClient.connect(broker)))
  for (const client of stuck) {
    const part = Buffer.alloc(400 * 1024)
    part.writeInt32BE(512 * 1024, 0)
    client.sendBytes(part)
  }
  await log.has(/memory for requests is full and it held the most/)
  const good = await RawClient.connect(broker)
  expect((await good.request(metadata, 9, { topics: [] })).controllerId).toBe(1)
  for (const client of [good, ...stuck]) client.close()
})

test('a request larger than the bound on requests in flight still gets through', async () => {
  await using broker = await Broker.start({ port: 0, maxInFlightBytes: 64 * 1024 })
  const client = await RawClient.connect(broker)
  await createTopic(client, 'words')
  expect(await produceBatch(client, 'words', batchOf(['x'.repeat(900_000)]))).toMatchObject({
    errorCode: 0,
  })
  client.close()
})

/** Counts records that are open, and the largest piece that was asked of any. */
class RecordsOnWatch {
  open = 0
  largestPiece = 0

  readonly watch = (records: RecordBytes): RecordBytes => {
    this.open++
    let isOpen = true
    return {
      byteLength: records.byteLength,
      readInto: (target) => {
        this.largestPiece = Math.max(this.largestPiece, target.byteLength)
        return records.readInto(target)
      },
      close: () => {
        if (isOpen) this.open--
        isOpen = false
        records.close()
      },
    }
  }
}

test('consumers that never read hold one piece of memory each and are served when they read again', async () => {
  const records = new RecordsOnWatch()
  const store = withRecords(await MemoryLogStore.open(), records.watch)
  await using broker = await Broker.start({ port: 0, store, maxResponseBufferBytes: 1024 * 1024 })
  const good = await RawClient.connect(broker)
  await createTopic(good, 'words')
  for (let i = 0; i < 20; i++) await produceBatch(good, 'words', batchOf(['x'.repeat(1_000_000)]))
  const request = encodeRequest(
    fetch,
    12,
    { correlationId: 1, clientId: null },
    fetchRequest('words', [{ partition: 0, fetchOffset: 0, maxBytes: 50_000_000 }]),
  )
  const stuck = await Promise.all(
    Array.from({ length: 12 }, async () => {
      const socket = connect(broker.port, broker.host)
      await once(socket, 'connect')
      socket.pause()
      socket.on('error', () => undefined)
      for (let i = 0; i < 3; i++) socket.write(Buffer.concat(request as Uint8Array[]))
      return socket
    }),
  )
  await until(() => records.open >= 12)
  // The others are served all the same.
  expect(valuesOf((await fetchPartition(good, 'words', 3)).records)).toHaveLength(1)
  expect(records.largestPiece).toBeLessThanOrEqual(256 * 1024)
  // One answer of each is being sent; the next requests are not started before it is.
  expect(records.open).toBe(12)

  const [reader] = stuck
  let received = 0
  reader!.on('data', (chunk) => {
    received += chunk.byteLength
  })
  reader!.resume()
  await until(() => received > 3 * 20_000_000)
  for (const socket of stuck) socket.destroy()
  await until(() => records.open === 0)
  good.close()
})

test('when consumers that never read hold all there is, they make room for those who read', async () => {
  const log = new CapturedLog()
  await using broker = await Broker.start({ port: 0, log, maxResponseBufferBytes: 1024 * 1024 })
  const good = await RawClient.connect(broker)
  await createTopic(good, 'words')
  for (let i = 0; i < 10; i++) await produceBatch(good, 'words', batchOf(['x'.repeat(1_000_000)]))
  const request = fetchRequest('words', [{ partition: 0, fetchOffset: 0, maxBytes: 50_000_000 }])
  const stuck = await Promise.all(Array.from({ length: 90 }, () => RawClient.connect(broker)))
  for (const client of stuck) {
    client.socket.pause()
    client.send(fetch, 12, request)
  }
  await log.has(/memory for responses is full and it has stopped reading/)
  for (let offset = 0; offset < 10; offset++) {
    expect(valuesOf((await fetchPartition(good, 'words', offset)).records)).toHaveLength(1)
  }
  for (const client of [good, ...stuck]) client.close()
})

test('records that cannot be read while they are sent close the connection', async () => {
  const log = new CapturedLog()
  let closed = 0
  const store = withRecords(await MemoryLogStore.open(), (records) =>
    records.byteLength === 0
      ? records
      : {
          byteLength: records.byteLength,
          readInto: () => Promise.reject(new Error('the disk is broken')),
          close: () => {
            closed++
          },
        },
  )
  await using broker = await Broker.start({ port: 0, log, store })
  const client = await RawClient.connect(broker)
  await createTopic(client, 'words')
  await produceBatch(client, 'words', batchOf(['x']))
  await expect(fetchPartition(client, 'words', 0)).rejects.toThrow('closed')
  await log.has(/could not send a response/)
  expect(closed).toBeGreaterThan(0)
})

test('idle connections are closed; a long poll is not idle', async () => {
  await using broker = await Broker.start({ port: 0, connectionIdleMs: 100 })
  const idle = await RawClient.connect(broker)
  const polling = await RawClient.connect(broker)
  await createTopic(polling, 'words')
  const poll = polling.request(
    fetch,
    12,
    fetchRequest('words', [{ partition: 0, fetchOffset: 0 }], { maxWaitMs: 400 }),
  )
  await idle.closed
  expect((await poll).errorCode).toBe(ErrorCode.NONE)
  await polling.closed
})

test('a client that goes away ends its long poll', async () => {
  const memory = await MemoryLogStore.open()
  let waits = 0
  const store = withOverrides(memory, {
    waitForAppend: async (after, options) => {
      waits++
      const moved = await memory.waitForAppend(after, options)
      waits--
      return moved
    },
  })
  await using broker = await Broker.start({ port: 0, store })
  const client = await RawClient.connect(broker)
  await createTopic(client, 'words')
  const request = fetchRequest('words', [{ partition: 0, fetchOffset: 0 }], { maxWaitMs: 60_000 })
  const poll = client.request(fetch, 12, request)
  await until(() => waits === 1)
  client.close()
  await expect(poll).rejects.toThrow('closed')
  await until(() => waits === 0 && broker.connectionCount === 0)
})

test('more connections than allowed are turned away', async () => {
  const log = new CapturedLog()
  await using broker = await Broker.start({ port: 0, maxConnections: 2, log })
  const first = await RawClient.connect(broker)
  const second = await RawClient.connect(broker)
  await first.request(apiVersions, 3, softwareName)
  await second.request(apiVersions, 3, softwareName)
  const third = await RawClient.connect(broker)
  await third.closed
  await log.has(/2 connections already/)
  first.close()
  second.close()
})

test('requests that wait are counted apart: producers go on', async () => {
  await using broker = await Broker.start({ port: 0, maxInFlightBytes: 1024 })
  const admin = await RawClient.connect(broker)
  await createTopic(admin, 'words')
  const pollers = await Promise.all(Array.from({ length: 30 }, () => RawClient.connect(broker)))
  const request = fetchRequest('words', [{ partition: 0, fetchOffset: 0 }], { maxWaitMs: 60_000 })
  const polls = pollers.map((poller) => poller.request(fetch, 12, request))
  expect(await produceBatch(admin, 'words', batchOf(['x']))).toMatchObject({ errorCode: 0 })
  await Promise.all(polls)
  const { topics } = await admin.request(listOffsets, 5, {
    replicaId: -1,
    topics: [{ name: 'words', partitions: [{ partitionIndex: 0, timestamp: -1n }] }],
  })
  expect(topics[0]!.partitions[0]!.offset).toBe(1n)
  for (const client of [admin, ...pollers]) client.close()
})
