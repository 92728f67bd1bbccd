import { expect, test } from 'vitest'
import { SystemScheduler } from './scheduler.ts'

const soon = () => new Promise((resolve) => setTimeout(resolve, 30))

test('what is scheduled runs once, unless it is cancelled or the scheduler is closed', async () => {
  const scheduler = new SystemScheduler(() => 42)
  expect(scheduler.nowMs()).toBe(42)
  const ran: string[] = []
  scheduler.after(0, () => ran.push('at once'))
  scheduler.after(-5, () => ran.push('in the past'))
  const cancelled = scheduler.after(1, () => ran.push('cancelled'))
  cancelled.cancel()
  cancelled.cancel()
  scheduler.after(1e12, () => ran.push('in thirty years'))
  await soon()
  expect(ran).toEqual(['at once', 'in the past'])
  scheduler.after(1, () => ran.push('before the close'))
  scheduler.close()
  scheduler.after(1, () => ran.push('after the close')).cancel()
  scheduler.after(1, () => ran.push('after the close'))
  await soon()
  expect(ran).toHaveLength(2)
})
