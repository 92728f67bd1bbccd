import { isStreamBusError, StreamBusError } from '../errors.ts'

/**
 * Several things were asked for, and some of them failed: what failed with why, and the results of the others, which
 * took effect. `retriable` where all that failed may succeed later.
 */
export class SomeFailedError<Item = unknown, Result = unknown> extends StreamBusError {
  /** As they were given to the call, in their order. */
  readonly failures: readonly { readonly item: Item; readonly error: StreamBusError }[]
  /** In the order of what they were asked for. */
  readonly succeeded: readonly Result[]

  constructor(items: readonly Item[], outcomes: readonly (Result | StreamBusError)[]) {
    const failures = outcomes.flatMap((error, index) =>
      isStreamBusError(error) ? [{ item: items[index] as Item, error }] : [],
    )
    const first = failures[0]?.error
    const several = failures.length === 1 ? 'One' : `${failures.length}`
    super('SOME_FAILED', `${several} of ${items.length} failed, the first for this: ${first?.message}`, {
      cause: first,
      retriable: failures.every(({ error }) => error.retriable),
    })
    this.failures = failures
    this.succeeded = outcomes.filter((outcome): outcome is Result => !isStreamBusError(outcome))
  }
}
