import { AssertionError } from 'node:assert'
import { setTimeout as sleep } from 'node:timers/promises'
import { invalidArgument, positive } from './arguments.ts'
import { checkNames } from './option-names.ts'

export interface EventuallyOptions {
  /** How long the assertion may fail. Default 5,000. */
  timeoutMs?: number
  /** Pause after each failure. Default 20. */
  intervalMs?: number
  /** Ends the wait early, with its reason. */
  signal?: AbortSignal
}

/**
 * Tries an assertion again and again until it holds, and gives what it returns. It fails by throwing, by
 * rejecting, or by returning `false`.
 *
 *     await eventually(async () => expect(await broker.produced('receipts')).toHaveLength(3))
 *
 * Rejects with the last failure, as it was thrown, once `timeoutMs` are over; with an AssertionError where the
 * assertion had not failed until then and has not ended either.
 */
export async function eventually<T>(
  assertion: () => T | Promise<T>,
  options: EventuallyOptions = {},
): Promise<Exclude<T, false>> {
  if (typeof assertion !== 'function') throw invalidArgument('The assertion must be a function.')
  checkNames('eventually', options, ['timeoutMs', 'intervalMs', 'signal'])
  const timeoutMs = positive('timeoutMs', options.timeoutMs ?? 5_000)
  const intervalMs = positive('intervalMs', options.intervalMs ?? 20)
  const { signal } = options
  const time = new AbortController()
  const timer = setTimeout(() => time.abort(), timeoutMs)
  const end = signal === undefined ? time.signal : AbortSignal.any([time.signal, signal])
  let failure: unknown = failed(`The assertion has not ended within ${timeoutMs} ms.`)
  const ended = new Promise<never>((_, reject) => {
    const stop = () => reject(signal?.aborted === true ? signal.reason : failure)
    if (end.aborted) stop()
    else end.addEventListener('abort', stop, { once: true })
  })
  const attempts = async (): Promise<Exclude<T, false>> => {
    for (;;) {
      try {
        const result = await assertion()
        if (result !== false) return result as Exclude<T, false>
        failure = failed('The assertion has not become true.')
      } catch (error) {
        failure = error
      }
      await sleep(intervalMs, undefined, { signal: end })
    }
  }
  try {
    // What is left of the attempts when time is up ends by itself: its pauses are over, and it is heard no more.
    return await Promise.race([ended, attempts()])
  } finally {
    clearTimeout(timer)
    time.abort()
  }
}

function failed(message: string): AssertionError {
  return new AssertionError({ message, operator: 'eventually' })
}
