/** Clients that connect and say nothing, or nothing more; and more of them than there is room for. */
import { execFileSync } from 'node:child_process'
import { beforeAll, expect, test } from 'vitest'
import { createTopic, fetchRequest } from '../../packages/broker/src/testing/requests.ts'
import { fetch, metadata } from '../../packages/protocol/src/index.ts'
import { ensureBuilt } from '../cli/built-cli.ts'
import { closed, HealthyClient, startAttacked } from './attacked-broker.ts'

beforeAll(ensureBuilt, 120_000)

test('who connects and never speaks, or stops speaking, is closed; who waits for records is not', async () => {
  await using broker = await startAttacked(['--connection-idle-ms', '400'])
  const client = await broker.connect()
  await createTopic(client, 'quiet')
  const waiting = client.request(fetch, 12, {
    ...fetchRequest('quiet', [{ partition: 0, fetchOffset: 0 }]),
    maxWaitMs: 1500,
  })
  const silent = await broker.socket()
  const halfSpoken = await broker.socket()
  halfSpoken.write(Buffer.of(0, 0, 1, 0, 0, 3))
  const spoken = await broker.connect()
  await spoken.request(metadata, 9, { topics: [] })
  await Promise.all([closed(silent), closed(halfSpoken), spoken.closed])
  expect(await waiting).toMatchObject({ errorCode: 0 })
  client.close()
})

test('a consumer that reads nothing of its answer is closed, and its memory comes back', async () => {
  await using broker = await startAttacked(['--connection-idle-ms', '400', '--durability', 'os'])
  const client = await broker.connect()
  await createTopic(client, 'wide', { partitions: 20_000 })
  const deaf = await broker.connect()
  deaf.socket.pause()
  for (let i = 0; i < 30; i++) deaf.request(metadata, 9, { topics: null }).catch(() => {})
  // It hears of the end only when it reads again.
  await new Promise((resolve) => setTimeout(resolve, 1200))
  deaf.socket.resume()
  await deaf.closed
  // Not before: on a slow machine a healthy connection may seem idle as well.
  const healthy = await HealthyClient.start(broker)
  await healthy.stop()
})

test('connections above the bound are closed at once, and there is room again when others leave', async () => {
  await using broker = await startAttacked(['--max-connections', '20'])
  const sockets = await Promise.all(Array.from({ length: 20 }, () => broker.socket()))
  const tooMany = await broker.socket()
  await closed(tooMany)
  const line = await broker.logged(/most allowed/)
  expect(line.msg).toMatch(/20 connections already/)
  sockets[0]!.destroy()
  for (;;) {
    const client = await broker.connect()
    const answer = await client.request(metadata, 9, { topics: [] }).catch(() => undefined)
    client.close()
    if (answer !== undefined) break
  }
  for (const socket of sockets) socket.destroy()
})

test('a broker that has run out of file descriptors goes on with those it has, and takes more when it can', async (context) => {
  await using broker = await startAttacked()
  const healthy = await HealthyClient.start(broker)
  try {
    execFileSync('prlimit', [`--pid=${broker.running.process.pid}`, '--nofile=60:60'], { stdio: 'ignore' })
  } catch {
    await healthy.stop()
    return context.skip('prlimit is not permitted here')
  }
  const sockets = await Promise.all(Array.from({ length: 200 }, () => broker.socket()))
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(broker.running.process.exitCode).toBeNull()
  for (const socket of sockets) socket.destroy()
  for (;;) {
    const client = await broker.connect()
    const answer = await client.request(metadata, 9, { topics: [] }).catch(() => undefined)
    client.close()
    if (answer !== undefined) break
  }
  expect(await healthy.stop()).toBeGreaterThan(1)
  // However many were turned away, the log does not grow with them.
  expect(broker.log.length).toBeLessThan(25)
})
