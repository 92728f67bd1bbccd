/** Being asked to end: at rest, under load, twice, and as a command at a terminal. */
import { afterEach, beforeAll, expect, test } from 'vitest'
import type { RawClient } from '../../packages/broker/src/testing/raw-client.ts'
import {
  batchOf,
  createTopic,
  fetchPartition,
  fetchRequest,
  produceBatch,
  valuesOf,
} from '../../packages/broker/src/testing/requests.ts'
import { fetch } from '../../packages/protocol/src/index.ts'
import { cli, ensureBuilt, resultOf, spawnCli } from '../cli/built-cli.ts'
import { type AttackedBroker, startAttacked } from './attacked-broker.ts'

beforeAll(ensureBuilt, 120_000)

const opened: AttackedBroker[] = []
afterEach(async () => {
  for (const broker of opened.splice(0)) await broker[Symbol.asyncDispose]()
})

async function start(args: readonly string[] = [], dataDir?: string): Promise<AttackedBroker> {
  const broker = await startAttacked(args, dataDir === undefined ? {} : { dataDir })
  opened.push(broker)
  return broker
}

/** Keeps `depth` produce requests in flight until the broker closes; notes what was acknowledged where. */
async function load(broker: AttackedBroker, topic: string, depth: number): Promise<Map<number, string>> {
  const client = await broker.connect()
  const acknowledged = new Map<number, string>()
  let sent = 0
  const worker = async () => {
    for (;;) {
      const value = `${topic} ${sent++}`
      const answer = await produceBatch(client, topic, batchOf([value]))
      if (answer.errorCode !== 0) throw new Error(`error ${answer.errorCode}`)
      acknowledged.set(Number(answer.baseOffset), value)
    }
  }
  const ended = await Promise.allSettled(Array.from({ length: depth }, worker))
  for (const one of ended)
    expect(String((one as PromiseRejectedResult).reason)).toMatch(/connection was closed/)
  return acknowledged
}

async function readAll(client: RawClient, topic: string): Promise<Map<number, string>> {
  const found = new Map<number, string>()
  for (;;) {
    const { records } = await fetchPartition(client, topic, found.size)
    const values = valuesOf(records)
    if (values.length === 0) return found
    for (const { offset, value } of values) found.set(offset, value)
  }
}

test.each([
  ['SIGTERM', 'fsync'],
  ['SIGINT', 'os'],
] as const)(
  '%s under load drains: everything acknowledged (%s) is there after a restart',
  async (signal, durability) => {
    const broker = await start(['--durability', durability])
    const topics = ['a', 'b', 'c', 'd']
    const admin = await broker.connect()
    for (const topic of topics) await createTopic(admin, topic)
    const loads = topics.map((topic) => load(broker, topic, 5))
    await new Promise((resolve) => setTimeout(resolve, 400))
    const { code, stderr } = await broker.stop(signal)
    expect(code).toBe(0)
    expect(stderr).toMatch(/"msg":"stopped"/)
    expect(stderr).not.toMatch(/"level":"error"/)
    const acknowledged = await Promise.all(loads)

    const again = await start([], broker.dataDir)
    const client = await again.connect()
    for (const [index, topic] of topics.entries()) {
      expect(acknowledged[index]!.size).toBeGreaterThan(10)
      const found = await readAll(client, topic)
      for (const [offset, value] of acknowledged[index]!) expect(found.get(offset)).toBe(value)
      // What drains is answered: nothing was written that nobody was told of.
      expect(found.size).toBe(acknowledged[index]!.size)
    }
    client.close()
  },
)

test('a long poll is answered, not waited for', async () => {
  const broker = await start(['--shutdown-timeout-ms', '60000'])
  const client = await broker.connect()
  await createTopic(client, 'quiet')
  const answer = client.request(fetch, 12, {
    ...fetchRequest('quiet', [{ partition: 0, fetchOffset: 0 }]),
    maxWaitMs: 120_000,
  })
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect((await broker.stop()).code).toBe(0)
  expect(await answer).toMatchObject({ errorCode: 0 })
})

test('a client that does not read cannot keep the broker from stopping', async () => {
  const broker = await start(['--shutdown-timeout-ms', '300'])
  const client = await broker.connect()
  await createTopic(client, 'unread')
  const large = batchOf(['x'.repeat(1_000_000)])
  for (let i = 0; i < 12; i++) await produceBatch(client, 'unread', large)
  client.socket.pause()
  client
    .request(fetch, 12, fetchRequest('unread', [{ partition: 0, fetchOffset: 0, maxBytes: 50_000_000 }]))
    .catch(() => {})
  const half = await broker.socket()
  half.write(Buffer.of(0, 0, 1, 0, 1, 2, 3))
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect((await broker.stop()).code).toBe(0)
  client.close()
  half.destroy()
})

test.each(['SIGTERM', 'SIGINT'] as const)(
  'a second signal (%s) leaves at once, and loses nothing',
  async (second) => {
    const broker = await start(['--shutdown-timeout-ms', '60000'])
    const client = await broker.connect()
    await createTopic(client, 'kept')
    const large = batchOf(['x'.repeat(1_000_000)])
    for (let i = 0; i < 12; i++)
      expect(await produceBatch(client, 'kept', large)).toMatchObject({ errorCode: 0 })
    // Somebody who does not read holds the drain up.
    client.socket.pause()
    client
      .request(fetch, 12, fetchRequest('kept', [{ partition: 0, fetchOffset: 0, maxBytes: 50_000_000 }]))
      .catch(() => {})
    await new Promise((resolve) => setTimeout(resolve, 100))
    broker.running.process.kill('SIGTERM')
    await broker.logged(/a second signal leaves at once/)
    const { code, stderr } = await broker.stop(second)
    expect(code).toBe(second === 'SIGTERM' ? 143 : 130)
    expect(stderr).toMatch(/leaving at once/)
    client.close()
    const again = await start([], broker.dataDir)
    const { stdout } = await cli(['consume', 'kept', '-e', '-q', '-f', '%o\\n'], { env: again.running.env })
    expect(stdout.trim().split('\n')).toHaveLength(12)
  },
)

test('a signal while it starts ends it, and the next start finds a good folder', async () => {
  const first = await start()
  const client = await first.connect()
  await createTopic(client, 'kept')
  expect(await produceBatch(client, 'kept', batchOf(['x']))).toMatchObject({ errorCode: 0 })
  client.close()
  await first.stop('SIGKILL')
  // The last moments of a start are the delicate ones: it says that the folder is open, and is ready soon after.
  const folderOpen = Array.from({ length: 12 }, () => 'folder open' as const)
  for (const moment of [40, 80, 120, 160, ...folderOpen]) {
    const child = spawnCli(['start', '--port', '0', '--data', first.dataDir])
    const result = resultOf(child)
    if (moment === 'folder open') await new Promise((resolve) => child.stderr!.once('data', resolve))
    else await new Promise((resolve) => setTimeout(resolve, moment))
    child.kill('SIGTERM')
    const { stderr } = await result
    expect(stderr).not.toMatch(/unexpected|"level":"error"/)
  }
  const again = await start([], first.dataDir)
  const after = await again.connect()
  expect((await readAll(after, 'kept')).get(0)).toBe('x')
  after.close()
})

test('Ctrl-C ends consume and produce: what was read or sent is complete', async () => {
  const broker = await start(['--durability', 'os'])
  const { env } = broker.running
  const producing = spawnCli(['produce', 'typed'], { env })
  const produced = resultOf(producing)
  producing.stdin!.on('error', () => {})
  producing.stdin!.write('one\ntwo\nhalf a li')
  const consuming = spawnCli(['consume', 'typed', '-f', '%s\\n'], { env })
  // The topic may not be there yet: the consumer says so then, and is started again.
  let consumed = resultOf(consuming)
  let current = consuming
  const seen = () =>
    new Promise<boolean>((resolve) => {
      let out = ''
      current.stdout!.on('data', (chunk) => {
        out += chunk
        if (out === 'one\ntwo\n') resolve(true)
      })
      void consumed.then(() => resolve(false))
    })
  while (!(await seen())) {
    current = spawnCli(['consume', 'typed', '-f', '%s\\n'], { env })
    consumed = resultOf(current)
  }
  current.kill('SIGINT')
  expect(await consumed).toMatchObject({ code: 0, stdout: 'one\ntwo\n' })
  producing.kill('SIGINT')
  const { code, stderr } = await produced
  expect(code).toBe(130)
  expect(stderr).toMatch(/^Sent 2 messages/)
})

test('the broker goes away under a consumer and a producer: they say so in a sentence and end', async () => {
  const broker = await start(['--durability', 'os'])
  const { env } = broker.running
  await cli(['produce', 'gone', '-m', 'x'], { env })
  const consuming = spawnCli(['consume', 'gone'], { env })
  const consumed = resultOf(consuming)
  await new Promise((resolve) => consuming.stdout!.once('data', resolve))
  await broker.stop('SIGKILL')
  const produced = await cli(['produce', 'gone', '-m', 'y'], { env })
  expect(produced.code).toBe(1)
  expect(produced.stderr).toMatch(/^error: No broker answers at [^\n]+\.\n$/)
  // A consumer waits for the broker to come back; Ctrl-C ends it all the same.
  consuming.kill('SIGINT')
  expect((await consumed).stderr).not.toMatch(/^ +at /m)
})
