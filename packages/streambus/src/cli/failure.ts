/**
 * How commands end: 0 when they did what was asked, 1 when that failed, 2 when the arguments are wrong. Those that look
 * for something end with 1 where they found it, and with 2 where they could not look, as grep and cmp do.
 */
export const exitCodes = { ok: 0, failed: 1, usage: 2, found: 1, trouble: 2, interrupted: 130 } as const

/** The arguments, the environment or the configuration file are wrong. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** The operation failed for a reason the message says in one sentence. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}

/** Errors whose message is a sentence for people: ours, and those the operating system has a name for. */
function isExpected(error: unknown): error is Error {
  if (!(error instanceof Error)) return false
  // What isStreamBusError looks for: commands that need no client do not load it.
  if (Symbol.for('streambus.error') in error) return true
  if (['UsageError', 'CommandError', 'BrokerError', 'StorageError'].includes(error.name)) return true
  return typeof (error as NodeJS.ErrnoException).syscall === 'string'
}

/**
 * Writes one sentence to standard error, sets the exit code, and shows the stack where it was asked for.
 *
 * @param code for what is no fault of the arguments
 */
export function reportFailure(error: unknown, code: number = exitCodes.failed): void {
  const message = error instanceof Error ? error.message : String(error)
  const sentence = message.split('\n').join(' ').trim()
  const prefix = paint(31, 'error:')
  const unexpected = isExpected(error) ? '' : 'unexpected failure: '
  process.stderr.write(`${prefix} ${unexpected}${sentence}${/[.!?]$/.test(sentence) ? '' : '.'}\n`)
  if (process.env.STREAMBUS_DEBUG) {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? message) : message}\n`)
    if (error instanceof Error && error.cause !== undefined) {
      const { cause } = error
      process.stderr.write(
        `caused by: ${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}\n`,
      )
    }
  }
  process.exitCode = error instanceof UsageError ? exitCodes.usage : code
}

export function warn(message: string): void {
  process.stderr.write(`${paint(33, 'warning:')} ${message}\n`)
}

/** Colours only where a person looks at them and did not say no (no-color.org). */
function paint(colour: number, text: string): string {
  const wanted = process.stderr.isTTY && !process.env.NO_COLOR && process.env.TERM !== 'dumb'
  return wanted ? `\x1b[${colour}m${text}\x1b[0m` : text
}
