import { ConnectionLostError } from '../../bench/wire/raw-connection.ts'

/** True for what a client meets because the broker was killed, and not because the broker did something wrong. */
export function wasKilled(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code
  return error instanceof ConnectionLostError || code === 'ECONNREFUSED' || code === 'ECONNRESET'
}
