import { expect, test } from 'vitest'
import { StreamBusError } from '../errors.ts'
import { KafkaJSNonRetriableError, kafkajsError } from './errors.ts'
import { isWorthRetrying, retryPauseMs, retrySettings, retrySpanMs, translated } from './retry.ts'

test('pauses grow up to the longest, and vary by their factor', () => {
  const settings = retrySettings({ initialRetryTime: 100, multiplier: 3, maxRetryTime: 500, factor: 0.1 })
  for (const [attempt, pauseMs] of [100, 300, 500, 500].entries()) {
    const varied = retryPauseMs(attempt, settings)
    expect(varied).toBeGreaterThanOrEqual(pauseMs * 0.9)
    expect(varied).toBeLessThanOrEqual(Math.ceil(pauseMs * 1.1))
  }
})

test('the SDK retries as long as all pauses take, and not for ever where there are too many', () => {
  expect(retrySpanMs(retrySettings())).toBe(300 + 600 + 1_200 + 2_400 + 4_800)
  expect(retrySpanMs(retrySettings({ retries: 0 }))).toBe(1)
  expect(retrySpanMs(retrySettings({ retries: Number.MAX_SAFE_INTEGER }))).toBe(3_600_000)
  expect(retrySpanMs(retrySettings({ retries: Number.MAX_SAFE_INTEGER, initialRetryTime: 0 }))).toBe(1)
})

test('a setting that is no number is refused', () => {
  expect(() => retrySettings({ retries: 'many' as never })).toThrow(
    'retry.retries must be a number, and is many',
  )
})

test('mistakes of a program, and what says so itself, are not worth retrying', () => {
  expect(isWorthRetrying(new Error('broken'))).toBe(true)
  expect(isWorthRetrying('broken')).toBe(true)
  expect(isWorthRetrying(new TypeError('no function'))).toBe(false)
  expect(isWorthRetrying(new KafkaJSNonRetriableError('no'))).toBe(false)
})

test('an error of the SDK becomes the one of kafkajs, and stays its cause', async () => {
  const refused = new StreamBusError('BROKER_ERROR', 'Not now.', {
    brokerError: 'NOT_COORDINATOR',
    retriable: true,
  })
  expect(kafkajsError(refused)).toMatchObject({
    name: 'KafkaJSProtocolError',
    type: 'NOT_COORDINATOR_FOR_GROUP',
    code: 16,
    retriable: true,
    message: 'Not now.',
    cause: refused,
  })
  const late = new StreamBusError('DELIVERY_TIMEOUT', 'Too late.', { cause: refused })
  await expect(translated(Promise.reject(late), retrySettings())).rejects.toMatchObject({
    name: 'KafkaJSNumberOfRetriesExceeded',
    retryCount: 5,
    retriable: false,
    cause: { type: 'NOT_COORDINATOR_FOR_GROUP' },
  })
  const wrong = new StreamBusError('INVALID_ARGUMENT', 'Wrong.')
  await expect(translated(Promise.reject(wrong), retrySettings())).rejects.toMatchObject({
    name: 'KafkaJSNonRetriableError',
    message: 'Wrong.',
  })
  const own = new RangeError('mine')
  await expect(translated(Promise.reject(own), retrySettings())).rejects.toBe(own)
})
