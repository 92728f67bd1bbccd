import { transactionLogRecord } from './00-transaction-log.ts'
import { recordFormats } from './coordinator-record.ts'

/** What `__transaction_state` may hold. */
export const transactionRecords = recordFormats([transactionLogRecord])
