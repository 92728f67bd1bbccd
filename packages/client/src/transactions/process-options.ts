import type { StartPosition } from '../consumer/start-position.ts'
import { StreamBusError } from '../errors.ts'
import type { GroupConsumerOptions } from '../groups/group-consumer-options.ts'
import {
  type DeadLetterOptions,
  type HandleSettings,
  handleSettings,
  type RetryOptions,
} from '../handling/handle-options.ts'
import type { Message, OutgoingMessage } from '../message.ts'
import { positive } from '../options.ts'
import type { ProducerOptions } from '../producer/producer.ts'
import type { Transaction } from './transaction.ts'

/** Without what a worker decides itself; by protocol, so that what has no meaning with one does not compile. */
type ConsumingOptions<Options = GroupConsumerOptions> = Options extends GroupConsumerOptions
  ? Omit<Options, 'from' | 'limit' | 'autoCommit' | 'autoCommitIntervalMs' | 'isolation'>
  : never

export type ProcessOptions = ConsumingOptions & ProcessingOptions

interface ProcessingOptions {
  /** The topics to read, and the group that shares out their partitions among its workers. */
  from: string | readonly string[]
  group: string
  /** Where messages go that name no topic themselves. */
  to?: string
  /** Where to begin in partitions the group has not committed an offset of. Default `earliest`. */
  startFrom?: StartPosition
  /**
   * Names this worker, and no other that runs at the same time; best the same after a restart, which then ends what
   * the worker before left open at once. Default: a name of its own for each worker, so that what one leaves open
   * ends after `transactionTimeoutMs`.
   */
  transactionalId?: string
  /**
   * A transaction that takes longer is aborted, and its messages are processed again. As long others may wait for the
   * partitions of a worker that vanished. Default 10,000.
   */
  transactionTimeoutMs?: number
  /** A transaction is committed after so many messages, or so long after its first. Default 1,000 and 100. */
  maxTransactionMessages?: number
  maxTransactionMs?: number
  /**
   * Tries a message again that the handler failed with. What comes after it in its partition waits meanwhile, and other
   * partitions go on. Default: one attempt.
   */
  retry?: Omit<RetryOptions, 'delayTopics'>
  /**
   * Topic to which a message goes after its last attempt, in the transaction that commits its offset. Without it, the
   * worker stops with what its handler threw.
   */
  deadLetter?: string | DeadLetterOptions
  /** How messages are sent: compression, batches, buffer. */
  producer?: Omit<ProducerOptions, 'acks' | 'idempotent'>
}

/** A message to send; `topic` where it is not the one of `to`. */
export interface ProcessedMessage extends OutgoingMessage {
  topic?: string
}

// biome-ignore lint/suspicious/noConfusingVoidType: a handler that returns nothing is what most of them are.
export type ProcessResult = ProcessedMessage | readonly ProcessedMessage[] | null | undefined | void

/**
 * What is made of a message. More can be sent through `tx`, in the same transaction. Where an attempt fails, nothing that
 * it sent counts.
 */
export type ProcessHandler = (message: Message, tx: Transaction) => Promise<ProcessResult> | ProcessResult

export interface ProcessSettings
  extends Pick<HandleSettings, 'attempts' | 'backoff' | 'retryIf' | 'deadLetter'> {
  readonly transactionalId: string
  readonly transactionTimeoutMs: number
  readonly maxTransactionMessages: number
  readonly maxTransactionMs: number
}

/** Checks what concerns the transactions and fills in what was left out. */
export function processSettings(options: ProcessOptions): ProcessSettings {
  const { retry, deadLetter } = options
  const handling = handleSettings({
    ...(retry === undefined ? {} : { retry }),
    ...(deadLetter === undefined ? {} : { deadLetter }),
  })
  const settings = {
    attempts: handling.attempts,
    backoff: handling.backoff,
    retryIf: handling.retryIf,
    deadLetter: handling.deadLetter,
    transactionalId: options.transactionalId ?? `${options.group}-${crypto.randomUUID()}`,
    transactionTimeoutMs: positive('transactionTimeoutMs', options.transactionTimeoutMs ?? 10_000),
    maxTransactionMessages: positive('maxTransactionMessages', options.maxTransactionMessages ?? 1_000),
    maxTransactionMs: positive('maxTransactionMs', options.maxTransactionMs ?? 100),
  }
  if (settings.maxTransactionMs >= settings.transactionTimeoutMs) {
    throw new StreamBusError(
      'INVALID_ARGUMENT',
      `maxTransactionMs is ${settings.maxTransactionMs} and has to be below transactionTimeoutMs, which is ${settings.transactionTimeoutMs}.`,
    )
  }
  return settings
}
