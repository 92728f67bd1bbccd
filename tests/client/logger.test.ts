import { Writable } from 'node:stream'
import type { Logger } from '@streambus/client'
import { pino } from 'pino'
import { expect, expectTypeOf, test } from 'vitest'
import { startBus } from './test-bus.ts'

const failing = {
  retry: { attempts: 2, backoff: { initialMs: 1, maxMs: 1 } },
  deadLetter: 'dlq',
}
const fail = () => {
  throw new Error('no')
}

test('the loggers of pino and the console are loggers', async () => {
  expectTypeOf(console).toExtend<Logger>()
  expectTypeOf(pino()).toExtend<Logger>()
  const lines: { level: number; msg: string }[] = []
  const stream = new Writable({
    write: (chunk, _encoding, done) => {
      lines.push(JSON.parse(String(chunk)))
      done()
    },
  })
  await using session = await startBus({}, { logger: pino({ level: 'info' }, stream) })
  await session.bus.producer().send('t', 'x')
  await session.bus.consumer('t', { group: 'g', limit: 1 }).consume(fail, failing)
  const once = { deadLetter: failing.deadLetter }
  await session.bus.consumer('t', { limit: 1 }).consume(fail, once)
  expect(lines.map(({ level, msg }) => `${pino.levels.labels[level]}: ${msg}`)).toEqual([
    "info: The consumer of group 'g' got t/0.",
    "warn: The consumer of group 'g' tries offset 0 of t/0 again in 1 ms: attempt 1 failed (no).",
    "warn: The consumer of group 'g' set offset 0 of t/0 aside in 'dlq' after 2 attempts (no).",
    "info: The consumer of group 'g' gave up t/0.",
    'info: The consumer got t/0.',
    "warn: The consumer set offset 0 of t/0 aside in 'dlq' after 1 attempt (no).",
  ])
})

test('a logger without info and error gets what belongs there as debug and warn', async () => {
  const said: string[] = []
  const logger = {
    debug: (message: string) => said.push(`debug: ${message}`),
    warn: (message: string) => said.push(`warn: ${message}`),
  }
  await using session = await startBus({}, { logger })
  await session.bus.producer().send('t', 'x')
  const worker = session.bus.process({ from: 't', group: 'g' }, fail)
  await worker.finished.catch(() => {})
  expect(said).toContain("debug: The consumer of group 'g' got t/0.")
  expect(said).toContain('warn: no')
})
