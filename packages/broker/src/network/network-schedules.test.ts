import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { FrameDecoder, type Part } from '@streambus/protocol'
import type { RecordBytes } from '@streambus/storage'
import { expect, test } from 'vitest'
import { silentLogger } from '../logger.ts'
import { SeededRandom } from '../testing/simulation/seeded-random.ts'
import { until } from '../testing/until.ts'
import type { RequestExecutor } from './connection.ts'
import { FrameMemory } from './frame-memory.ts'
import { Listener } from './listener.ts'
import { PeerComplaints } from './peer-complaints.ts'
import { RequestMemory } from './request-memory.ts'
import { ResponsePieces } from './response-pieces.ts'
import { TurnEnd } from './turn-end.ts'
import { UnsentResponses } from './unsent-responses.ts'

/**
 * Requests say how they are to be answered: one byte for the kind, four for the number that comes back, four for
 * the bytes of the answer, and padding.
 */
const Kind = { overlapping: 0, exclusive: 1, records: 2, longPoll: 3 } as const
const HEADER_BYTES = 9

let openRecords = 0

function recordsOf(byteLength: number, later: () => boolean): RecordBytes {
  openRecords++
  let left = byteLength
  let isOpen = true
  return {
    byteLength,
    readInto(target) {
      const size = Math.min(left, target.byteLength)
      left -= size
      return later() ? sleep(1).then(() => size) : size
    },
    close() {
      if (isOpen) openRecords--
      isOpen = false
    },
  }
}

function executorOf(random: SeededRandom): RequestExecutor {
  return {
    mayOverlap: (frame) => frame[0] === Kind.overlapping,
    execute(frame, requester) {
      const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
      const kind = view.getUint8(0)
      const length = view.getUint32(5)
      const answer = (): Part[] => {
        const head = Buffer.alloc(8)
        head.writeUInt32BE(4 + length)
        head.writeUInt32BE(view.getUint32(1), 4)
        if (kind === Kind.records) return [head, recordsOf(length, () => random.chance(0.3))]
        return [head, Buffer.alloc(length)]
      }
      if (kind !== Kind.longPoll)
        return random.chance(0.5) ? answer() : sleep(random.between(0, 5)).then(answer)
      const signal = requester.startWaiting()
      if (signal === undefined) return answer()
      return sleep(random.between(0, 50), undefined, { signal }).then(answer, answer)
    },
  }
}

function requestOf(random: SeededRandom, number: number): Buffer {
  const padding = random.pick([0, 10, 1000, 70_000])
  const frame = Buffer.alloc(4 + HEADER_BYTES + padding)
  frame.writeUInt32BE(HEADER_BYTES + padding)
  const kind = random.pick(Object.values(Kind))
  frame[4] = kind
  frame.writeUInt32BE(number, 5)
  frame.writeUInt32BE(
    random.pick(kind === Kind.overlapping ? [1, 100, 3000] : [1, 20_000, 300_000, 1_000_000]),
    9,
  )
  return frame
}

/** Sends requests in pieces of any size, reads or does not, and stays or goes. */
async function client(port: number, random: SeededRandom): Promise<void> {
  const socket: Socket = connect(port, '127.0.0.1')
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  let answered = 0
  const frames = new FrameDecoder({ maxFrameBytes: 2 ** 30 })
  socket.on('data', (chunk) =>
    frames.push(chunk, (frame) => {
      expect(Buffer.from(frame).readUInt32BE(0)).toBe(answered)
      answered++
    }),
  )
  const count = random.between(1, 30)
  const bytes = Buffer.concat(Array.from({ length: count }, (_, number) => requestOf(random, number)))
  const leavesAfter = random.chance(0.3) ? random.between(0, bytes.length) : bytes.length
  const isSlow = random.chance(0.3)
  const pieceBytes = random.pick([700, 5000, 200_000])
  for (let at = 0; at < leavesAfter && !socket.destroyed; ) {
    const size = Math.min(leavesAfter - at, random.between(1, pieceBytes))
    socket.write(bytes.subarray(at, at + size))
    at += size
    if (isSlow && random.chance(0.5)) socket.pause()
    if (random.chance(0.2)) await sleep(random.between(0, 3))
  }
  if (leavesAfter === bytes.length) {
    if (isSlow) await sleep(random.between(0, 100))
    socket.resume()
    // Who does not read may lose its connection; all others get every answer.
    while (answered < count && !socket.destroyed) await sleep(2)
    if (!isSlow) expect(answered).toBe(count)
  }
  socket.destroy()
}

const FIRST_SEED = Number(process.env.STREAMBUS_NETWORK_SEED ?? 1)
const SEEDS = Number(process.env.STREAMBUS_NETWORK_SEEDS ?? 2)
const seeds = Array.from({ length: SEEDS }, (_, index) => FIRST_SEED + index)

test.each(seeds)(
  'whatever clients do, answers keep their order and all memory comes back (seed %i)',
  async (seed) => {
    const random = new SeededRandom(seed)
    const listener = await Listener.bind({
      host: '127.0.0.1',
      port: 0,
      maxConnections: 1000,
      connectionIdleMs: 60_000,
    })
    const memory = new RequestMemory(200_000, 1024 * 1024)
    const pieces = new ResponsePieces(600_000)
    const unsent = new UnsentResponses(7_500_000)
    listener.serve({
      executor: executorOf(random),
      memory,
      frameMemory: new FrameMemory(),
      pieces,
      unsent,
      turnEnd: new TurnEnd(),
      complaints: new PeerComplaints(silentLogger, Date.now),
      log: silentLogger,
      maxFrameBytes: 1024 * 1024,
    })
    for (let round = 0; round < 2; round++) {
      await Promise.all(Array.from({ length: 15 }, () => client(listener.port, random)))
    }
    await until(() => listener.connectionCount === 0 && openRecords === 0)
    expect([memory.usedBytes, pieces.lentBytes, unsent.heldBytes]).toEqual([0, 0, 0])
    await listener.close(0)
  },
)
