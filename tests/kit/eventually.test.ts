import { eventually } from 'streambus/testing'
import { expect, test } from 'vitest'

const soon = { timeoutMs: 100, intervalMs: 5 }

test('an assertion is tried until it holds, and gives what it returns', async () => {
  let tries = 0
  const result = await eventually(async () => {
    tries++
    expect(tries).toBeGreaterThan(2)
    return 'done'
  })
  expect([result, tries]).toEqual(['done', 3])
})

test('what returns false has not come true yet', async () => {
  let tries = 0
  await eventually(() => ++tries === 3, soon)
  expect(tries).toBe(3)
  await expect(eventually(() => false, soon)).rejects.toMatchObject({
    name: 'AssertionError',
    message: 'The assertion has not become true.',
  })
})

test('the last failure is what it fails with, as it was thrown', async () => {
  const failures: Error[] = []
  const failing = eventually(() => {
    failures.push(new Error(`try ${failures.length}`))
    throw failures.at(-1)
  }, soon)
  const error = await failing.catch((error: unknown) => error)
  expect(error).toBe(failures.at(-1))
  expect(failures.length).toBeGreaterThan(1)
})

test('an assertion that never ends fails all the same', async () => {
  await expect(eventually(() => new Promise(() => undefined), soon)).rejects.toMatchObject({
    name: 'AssertionError',
    message: 'The assertion has not ended within 100 ms.',
  })
})

test('a signal ends the wait with its reason, also before the first try', async () => {
  const reason = new Error('enough')
  const abort = new AbortController()
  const waiting = eventually(() => false, { signal: abort.signal })
  abort.abort(reason)
  await expect(waiting).rejects.toBe(reason)
  await expect(eventually(() => false, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
})

test('times that are none are refused', async () => {
  await expect(eventually(() => true, { timeoutMs: 0 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  await expect(eventually(() => true, { intervalMs: -1 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
})
