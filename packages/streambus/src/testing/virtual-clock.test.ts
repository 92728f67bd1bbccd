import { expect, test } from 'vitest'
import { VirtualClock } from './virtual-clock.ts'

test('timers run in the order of their times, at their times, also those that timers set', async () => {
  const clock = new VirtualClock()
  const startMs = clock.nowMs()
  const scheduler = clock.scheduler()
  const ran: [string, number][] = []
  const note = (name: string) => ran.push([name, clock.nowMs() - startMs])
  scheduler.after(30, () => note('c'))
  scheduler.after(10, () => {
    note('a')
    scheduler.after(10, () => note('b'))
    scheduler.after(100, () => note('later'))
  })
  scheduler.after(30, () => note('d'))
  scheduler.after(20, () => note('cancelled')).cancel()
  await clock.advance(29)
  expect(ran).toEqual([
    ['a', 10],
    ['b', 20],
  ])
  await clock.advance(1)
  expect(ran.slice(2)).toEqual([
    ['c', 30],
    ['d', 30],
  ])
  expect(clock.nowMs() - startMs).toBe(30)
})

test('what is due at once runs without time passing, and before time goes on', async () => {
  const clock = new VirtualClock()
  const startMs = clock.nowMs()
  const scheduler = clock.scheduler()
  const ran: number[] = []
  const again = (left: number) => {
    ran.push(clock.nowMs() - startMs)
    if (left > 0) scheduler.after(0, () => again(left - 1))
  }
  scheduler.after(10, () => again(5))
  scheduler.after(11, () => ran.push(11))
  scheduler.after(0, () => ran.push(-1)).cancel()
  await new Promise<void>((resolve) => scheduler.after(-5, resolve))
  await clock.advance(20)
  expect(ran).toEqual([10, 10, 10, 10, 10, 10, 11])
})

test('a scheduler that is closed runs nothing any more, and the others of its clock go on', async () => {
  const clock = new VirtualClock()
  const one = clock.scheduler()
  const two = clock.scheduler()
  const ran: string[] = []
  one.after(10, () => ran.push('one'))
  two.after(10, () => ran.push('two'))
  one.close()
  one.after(10, () => ran.push('one, late')).cancel()
  await clock.advance(10)
  expect(ran).toEqual(['two'])
})

test('a timer that fails is told to whoever advanced the clock, which can be advanced again', async () => {
  const clock = new VirtualClock()
  const failure = new Error('from a timer')
  clock.scheduler().after(10, () => {
    throw failure
  })
  await expect(clock.advance(20)).rejects.toBe(failure)
  await clock.advance(20)
})
