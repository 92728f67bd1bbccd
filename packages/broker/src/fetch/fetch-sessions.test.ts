import { ErrorCode, type FetchRequest, ZERO_UUID } from '@streambus/protocol'
import { expect, test } from 'vitest'
import { type FetchOpening, FetchSessions, type OpenedFetch } from './fetch-sessions.ts'

function request(
  sessionId: number,
  sessionEpoch: number,
  partitions: number[] = [],
  forgotten: number[] = [],
): FetchRequest {
  return {
    sessionId,
    sessionEpoch,
    topics: [
      {
        topic: 'words',
        topicId: ZERO_UUID,
        partitions: partitions.map((partition) => ({
          partition,
          fetchOffset: 0n,
          partitionMaxBytes: 100,
          currentLeaderEpoch: -1,
        })),
      },
    ],
    forgottenTopicsData: [{ topic: 'words', topicId: ZERO_UUID, partitions: forgotten }],
  } as unknown as FetchRequest
}

function opened(opening: FetchOpening): OpenedFetch {
  if ('errorCode' in opening) throw new Error(`not opened: ${opening.errorCode}`)
  return opening
}

const news = { errorCode: 0, recordBytes: 0, highWatermark: 5, logStartOffset: 0 }

test('an answer lists a partition again after records, a moved watermark or start, or an error', () => {
  const sessions = new FetchSessions(10)
  const first = opened(sessions.open(request(0, 0, [0]), false))
  expect(first.includes(first.partitions[0]!, news)).toBe(true)
  let epoch = 1
  const next = (change: Partial<typeof news>): boolean => {
    const fetch = opened(sessions.open(request(first.sessionId, epoch++), false))
    return fetch.includes(fetch.partitions[0]!, { ...news, ...change })
  }
  expect(next({})).toBe(false)
  expect(next({ recordBytes: 10 })).toBe(true)
  expect(next({ highWatermark: 6 })).toBe(true)
  expect(next({ highWatermark: 6 })).toBe(false)
  expect(next({ highWatermark: 6, logStartOffset: 2 })).toBe(true)
  expect(next({ errorCode: ErrorCode.KAFKA_STORAGE_ERROR })).toBe(true)
  expect(next({ highWatermark: 6, logStartOffset: 2 })).toBe(true)
})

test('who got records is served last the next time', () => {
  const sessions = new FetchSessions(10)
  const first = opened(sessions.open(request(0, 0, [0, 1, 2]), false))
  for (const partition of first.partitions) {
    first.includes(partition, { ...news, recordBytes: partition.partition === 0 ? 10 : 0 })
  }
  const second = opened(sessions.open(request(first.sessionId, 1), false))
  expect(second.partitions.map(({ partition }) => partition)).toEqual([1, 2, 0])
})

test('the session unused for longest makes room, by number and by partitions', () => {
  const sessions = new FetchSessions(2, 10)
  const [a, b] = [0, 1].map((p) => opened(sessions.open(request(0, 0, [p]), false)).sessionId)
  opened(sessions.open(request(a!, 1), false))
  const c = opened(sessions.open(request(0, 0, [2]), false)).sessionId
  expect(sessions.open(request(b!, 1), false)).toEqual({ errorCode: ErrorCode.FETCH_SESSION_ID_NOT_FOUND })
  opened(sessions.open(request(a!, 2), false))
  // Nine more partitions leave no room for those of the two others.
  opened(sessions.open(request(c, 1, [3, 4, 5, 6, 7, 8, 9, 10, 11]), false))
  expect(sessions.size).toBe(1)
  expect(sessions.partitionCount).toBe(10)
  expect(sessions.open(request(c, 2, [12]), false)).toEqual({
    errorCode: ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
  })
  expect(sessions.partitionCount).toBe(0)
  const tooLarge = Array.from({ length: 11 }, (_, i) => i)
  expect(opened(sessions.open(request(0, 0, tooLarge), false)).sessionId).toBe(0)
})

test('a session that forgets all its partitions ends', () => {
  const sessions = new FetchSessions(2)
  const { sessionId } = opened(sessions.open(request(0, 0, [0, 1]), false))
  const end = opened(sessions.open(request(sessionId, 1, [], [0, 1]), false))
  expect(end).toMatchObject({ sessionId: 0, partitions: [] })
  expect(sessions.size).toBe(0)
})

test('no session keeps names that no topic can have', () => {
  const sessions = new FetchSessions(10)
  const asking = (topic: string, sessionId = 0, epoch = 0): FetchRequest => {
    const { topics, ...rest } = request(sessionId, epoch, [0])
    return { ...rest, topics: topics.map((one) => ({ ...one, topic })) }
  }
  const endless = 'x'.repeat(32_000)
  const alone = opened(sessions.open(asking(endless), false))
  expect(alone.sessionId).toBe(0)
  expect(alone.partitions).toMatchObject([{ topic: endless, partition: 0 }])
  expect(sessions.partitionCount).toBe(0)

  const { sessionId } = opened(sessions.open(asking('words'), false))
  expect(sessionId).toBeGreaterThan(0)
  expect(sessions.open(asking(endless, sessionId, 1), false)).toEqual({
    errorCode: ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
  })
  expect(sessions.partitionCount).toBe(0)
})
