import {
  ErrorCode,
  type ListTransactionsRequest,
  type ListTransactionsResponseInput,
  listTransactions,
} from '@streambus/protocol'
import { expressionSize } from '../expression-size.ts'
import type { BrokerServices, Handler } from '../handler.ts'
import { NO_TIME, TRANSACTION_STATES } from '../transactions/transaction.ts'

/**
 * ListTransactions (key 66), versions 0–2: the transactional ids this broker coordinates. Empty filters let
 * everything through; states that do not exist are told apart from states that nothing is in. Version 1 finds
 * what began more than so long ago (KIP-994), version 2 ids that a regular expression of RE2 matches as a whole
 * (KIP-1152).
 */
const MAX_PATTERN_LENGTH = 1000
/** Of `expressionSize`. */
const MAX_PATTERN_SIZE = 1000

const STATE_NAMES: ReadonlySet<string> = new Set(TRANSACTION_STATES)

export function listTransactionsHandler({
  transactions,
  clock,
}: BrokerServices): Handler<ListTransactionsRequest, ListTransactionsResponseInput> {
  return {
    api: listTransactions,
    minVersion: 0,
    maxVersion: 2,
    async handle({ stateFilters, producerIdFilters, durationFilter, transactionalIdPattern }) {
      const unknownStateFilters = stateFilters.filter((state) => !STATE_NAMES.has(state))
      const answer = (
        errorCode: number,
        transactionStates: ListTransactionsResponseInput['transactionStates'] = [],
      ) => ({ throttleTimeMs: 0, errorCode, unknownStateFilters, transactionStates })

      const matches = await idFilter(transactionalIdPattern)
      if (matches === undefined) return answer(ErrorCode.INVALID_REGULAR_EXPRESSION)
      const listed = transactions.list()
      if (typeof listed === 'number') return answer(listed)
      const states = new Set<string>(stateFilters)
      const producerIds = new Set(producerIdFilters)
      const beganBeforeMs = durationFilter < 0n ? undefined : clock() - Number(durationFilter)
      const found = []
      for (const { transactionalId, state, producerId, startMs } of listed) {
        if (states.size > 0 && !states.has(state)) continue
        if (producerIds.size > 0 && !producerIds.has(BigInt(producerId))) continue
        if (beganBeforeMs !== undefined && (startMs === NO_TIME || startMs >= beganBeforeMs)) continue
        if (!matches(transactionalId)) continue
        found.push({ transactionalId, producerId: BigInt(producerId), transactionState: state })
      }
      return answer(ErrorCode.NONE, found)
    },
  }
}

/** Undefined for what is no expression. Takes time linear in the length of an id, whatever the expression. */
async function idFilter(pattern: string | null): Promise<((id: string) => boolean) | undefined> {
  if (pattern === null || pattern === '') return () => true
  if (pattern.length > MAX_PATTERN_LENGTH || expressionSize(pattern) > MAX_PATTERN_SIZE) return undefined
  const { RE2JS, RE2JSException } = await import('re2js')
  try {
    const compiled = RE2JS.compile(pattern)
    return (id) => compiled.matches(id)
  } catch (error) {
    if (error instanceof RE2JSException) return undefined
    throw error
  }
}
