import { setTimeout as sleep } from 'node:timers/promises'

/** Waits for something that has no event to wait for. The test's own timeout is the limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5)
}
