/** Requests that a broker refuses for a moment, while it makes, loads or moves what they need. */
import { setTimeout as delay } from 'node:timers/promises'
import { errorByCode } from '@streambus/protocol'
import { assertNoError } from './topics.ts'

const RETRY_MS = 2
const TIMEOUT_MS = 60_000

/**
 * Sends a request until it is answered with something else than a retriable error, and throws RefusedError
 * unless that is success.
 */
export async function retried<Answer>(
  doing: string,
  request: () => Promise<Answer>,
  errorCodeOf: (answer: Answer) => number | undefined,
  onRetry: () => void = () => {},
): Promise<Answer> {
  const deadlineMs = performance.now() + TIMEOUT_MS
  for (;;) {
    const answer = await request()
    const errorCode = errorCodeOf(answer)
    const mayRetry = errorCode !== undefined && errorCode !== 0 && errorByCode(errorCode).retriable
    if (!mayRetry || performance.now() > deadlineMs) {
      assertNoError(errorCode, doing)
      return answer
    }
    onRetry()
    await delay(RETRY_MS)
  }
}
