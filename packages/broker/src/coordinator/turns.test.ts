import { expect, test } from 'vitest'
import { Turns, TurnsFull } from './turns.ts'

function gate(): { wait: Promise<void>; open: () => void } {
  let open!: () => void
  const wait = new Promise<void>((resolve) => {
    open = resolve
  })
  return { wait, open }
}

test('one key: in order, each after the one before; another key overlaps', async () => {
  const turns = new Turns()
  const first = gate()
  const trace: string[] = []
  const a1 = turns.run('a', async () => {
    trace.push('a1 begins')
    await first.wait
    trace.push('a1 ends')
    return 1
  })
  const a2 = turns.run('a', () => {
    trace.push('a2')
    return 2
  })
  const a3 = turns.run('a', async () => {
    trace.push('a3')
    return 3
  })
  expect(turns.run('b', () => 'at once')).toBe('at once')
  expect(trace).toEqual(['a1 begins'])
  first.open()
  expect(await Promise.all([a1, a2, a3])).toEqual([1, 2, 3])
  expect(trace).toEqual(['a1 begins', 'a1 ends', 'a2', 'a3'])
  expect(turns.busyCount).toBe(0)
})

test('an operation that fails fails for its caller alone', async () => {
  const turns = new Turns()
  const first = gate()
  const rejected = turns.run('a', async () => {
    await first.wait
    throw new Error('one')
  })
  const thrown = turns.run('a', () => {
    throw new Error('two')
  })
  const fine = turns.run('a', () => 'fine')
  first.open()
  await expect(rejected).rejects.toThrow('one')
  await expect(thrown).rejects.toThrow('two')
  expect(await fine).toBe('fine')
  expect(() =>
    turns.run('a', () => {
      throw new Error('at once')
    }),
  ).toThrow('at once')
  expect(turns.run('a', () => 'free again')).toBe('free again')
})

test('what may wait for one key is bounded', async () => {
  const turns = new Turns(2)
  const first = gate()
  const running = turns.run('a', () => first.wait)
  const waiting = [turns.run('a', () => 1), turns.run('a', () => 2)]
  expect(() => turns.run('a', () => 3)).toThrow(TurnsFull)
  expect(turns.run('b', () => 'other keys are free')).toBe('other keys are free')
  first.open()
  await running
  expect(await Promise.all(waiting)).toEqual([1, 2])
})
