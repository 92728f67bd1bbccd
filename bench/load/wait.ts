import { setTimeout as delay } from 'node:timers/promises'

/** Waits without keeping the process alive: what loses a race against something earlier must not hold it up. */
export function wait(milliseconds: number): Promise<void> {
  return delay(milliseconds, undefined, { ref: false })
}
