import { expect } from 'vitest'
import type { AppendResult, LogId, LogState, LogStore, ReadResult, Topic } from '../log-store.ts'

/** What each test of the contract starts with: a store and a topic `words` of two partitions. */
export interface ContractSuite {
  readonly store: LogStore
  readonly topic: Topic
  readonly log: LogId
  readonly otherLog: LogId
}

export const NO_LOG = 999_999
export const PLENTY = 1024 ** 2

export function errorOf(result: AppendResult | ReadResult | undefined): string | undefined {
  return result?.error?.code
}

export async function stateOf(store: LogStore, logId: LogId): Promise<LogState> {
  const [state] = await store.state([logId])
  expect(state).toBeDefined()
  return state!
}

export async function readOne(store: LogStore, logId: LogId, offset: number, maxBytes = PLENTY) {
  const [result] = await store.read([{ logId, offset, maxBytes }], { maxBytes })
  if (result === undefined || result.error !== null) throw result?.error ?? new Error('no result')
  return result
}
