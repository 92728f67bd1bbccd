import { inspect } from 'node:util'
import { expect, expectTypeOf, test, vi } from 'vitest'
import * as client from './index.ts'
import {
  AbortError,
  type CodeOf,
  ConnectionError,
  type ErrorClassName,
  errorTable,
  isStreamBusError,
  StreamBusError,
  type StreamBusErrorCode,
  TimeoutError,
} from './index.ts'

const classes: { [Name in ErrorClassName]: (typeof client)[Name] } = client

test.each(Object.entries(errorTable))('%s makes an error of the class the table names', (code, row) => {
  const error = new StreamBusError(code as StreamBusErrorCode, 'What was wrong.', { cause: 'why' })
  expect(error).toMatchObject({ code, name: row.class, message: 'What was wrong.', cause: 'why' })
  expect(error.constructor).toBe(classes[row.class])
  expect(error).toBeInstanceOf(classes[row.class])
  expect(error).toBeInstanceOf(StreamBusError)
  expect(error).toBeInstanceOf(Error)
  const others = new Set(Object.values(errorTable).map((other) => other.class))
  others.delete(row.class)
  for (const other of others) expect(error).not.toBeInstanceOf(classes[other])
})

test('the stack of an error begins with its class and where it was made', () => {
  const error = new StreamBusError('REQUEST_TIMEOUT', 'Too slow.')
  expect(error.stack).toMatch(/^TimeoutError: Too slow\.\n {4}at .*errors\.test\.ts/)
  expect(inspect(error)).toMatch(/^TimeoutError: Too slow\./)
})

test('errors of another copy of the package are recognised, by class too', async () => {
  vi.resetModules()
  const copy = await import('./index.ts')
  const error = new copy.StreamBusError('CONNECTION_LOST', 'Gone.')
  expect(copy.StreamBusError).not.toBe(StreamBusError)
  expect(isStreamBusError(error)).toBe(true)
  expect(error instanceof StreamBusError).toBe(true)
  expect(error instanceof ConnectionError).toBe(true)
  expect(error instanceof TimeoutError).toBe(false)
})

test('what is no error of the SDK is of none of its classes', () => {
  for (const other of [new Error('x'), { name: 'TimeoutError' }, null, undefined, 'TimeoutError']) {
    expect(other instanceof StreamBusError).toBe(false)
    expect(other instanceof TimeoutError).toBe(false)
  }
})

test('classes derived from those of the SDK have only their own instances', () => {
  class SlowError extends TimeoutError {}
  const slow = new SlowError('REQUEST_TIMEOUT', 'Slow.')
  expect(slow instanceof SlowError && slow instanceof TimeoutError).toBe(true)
  expect(new TimeoutError('REQUEST_TIMEOUT', 'Slow.') instanceof SlowError).toBe(false)
})

test('a class narrows the code, and a code narrows the error', () => {
  const error: unknown = new StreamBusError('ABORTED', 'Stopped.')
  if (error instanceof TimeoutError) {
    expectTypeOf(error.code).toEqualTypeOf<'REQUEST_TIMEOUT' | 'DELIVERY_TIMEOUT' | 'HANDLER_TIMEOUT'>()
  } else if (error instanceof AbortError) {
    expectTypeOf(error.code).toEqualTypeOf<'ABORTED'>()
  } else if (isStreamBusError(error)) {
    expectTypeOf(error.code).toEqualTypeOf<StreamBusErrorCode>()
  }
  expectTypeOf<CodeOf<'ConnectionError'>>().toEqualTypeOf<
    'BROKER_UNREACHABLE' | 'TLS_FAILED' | 'CONNECTION_LOST'
  >()
  expectTypeOf(new StreamBusError('CLOSED', 'Closed.').code).toEqualTypeOf<'CLOSED'>()
  // @ts-expect-error: a code of another class
  expect(() => new TimeoutError('CLOSED', 'Closed.')).not.toThrow()
})
