import { expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { optionsFromSettings } from './coordinator-settings.ts'

test('defaults of topics are given by the names Kafka has for those of a broker', () => {
  expect(
    optionsFromSettings({
      'log.retention.bytes': '1000',
      'log.cleanup.policy': 'compact,delete',
      'log.cleaner.backoff.ms': '50',
      'log.retention.check.interval.ms': '70',
    }),
  ).toMatchObject({
    topicDefaults: { 'retention.bytes': '1000', 'cleanup.policy': 'compact,delete' },
    cleanerBackoffMs: 50,
    retentionCheckIntervalMs: 70,
  })
})

test.each([
  [{ 'log.retention.hours': '2' }, String(2 * 3_600_000)],
  [{ 'log.retention.hours': '2', 'log.retention.minutes': '3' }, String(3 * 60_000)],
  [{ 'log.retention.ms': '4', 'log.retention.minutes': '3', 'log.retention.hours': '2' }, '4'],
  [{ 'log.retention.hours': '-1' }, '-1'],
])('of several units of time the shortest counts: %j', (settings, retentionMs) => {
  expect(optionsFromSettings(settings).topicDefaults).toEqual({ 'retention.ms': retentionMs })
})

test.each([
  [{ 'log.retention.ms': 'long' }, /^Setting log\.retention\.ms cannot be 'long': it must be -1 or a number/],
  [
    { 'log.retention.hour': '1' },
    /^There is no setting 'log\.retention\.hour'; the nearest one is log\.retention\.hours/,
  ],
  [
    { 'log.cleaner.min.compaction.lag.ms': '5', 'log.cleaner.max.compaction.lag.ms': '4' },
    /min\.compaction\.lag\.ms is 5, and cannot be above/,
  ],
])('what cannot be is refused by the name it was given: %j', (settings, message) => {
  expect(() => optionsFromSettings(settings)).toThrow(
    expect.objectContaining({ message: expect.stringMatching(message) }),
  )
})

test('a broker does not start with a default that its topics cannot have, and leaves nothing open', async () => {
  for (const topicDefaults of [{ 'retention.ms': 'x' }, { 'max.message.bytes': '2000000000' }]) {
    await expect(Broker.start({ port: 0, topicDefaults })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringMatching(/^Option topicDefaults: Setting /),
    })
  }
})
