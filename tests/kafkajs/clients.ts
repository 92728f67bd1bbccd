import { Broker, type BrokerOptions } from '@streambus/broker'
import kafkajs from 'kafkajs'
import * as shim from 'streambus/kafkajs'

/** What tests use of either client, by the types of ours. */
export type Client = typeof shim
export type Kafka = shim.Kafka

/** The same program is run with both, so that a difference between them is a failure of one. */
export const clients: readonly (readonly [string, Client])[] = [
  ['kafkajs', kafkajs as unknown as Client],
  ['streambus/kafkajs', shim],
]

/** Retries that a test can wait for. */
export const quickRetry = { initialRetryTime: 50, retries: 2 }
/** A consumer that notices at once what happens to its group. */
export const quick = { maxWaitTimeInMs: 50, heartbeatInterval: 100, retry: quickRetry }

export interface Setup {
  readonly broker: Broker
  readonly kafka: Kafka
  /** Disconnected in the end, in this order. */
  clean(...clients: { disconnect(): Promise<void> }[]): void
  [Symbol.asyncDispose](): Promise<void>
}

/** A broker in this process and a client that says nothing. */
export async function start(
  { Kafka, logLevel }: Client,
  config: Partial<shim.KafkaConfig> = {},
  brokerOptions: BrokerOptions = {},
): Promise<Setup> {
  const broker = await Broker.start({ port: 0, ...brokerOptions })
  const kafka = new Kafka({
    clientId: 'test',
    brokers: [broker.address],
    logLevel: logLevel.NOTHING,
    retry: quickRetry,
    ...config,
  })
  const open: { disconnect(): Promise<void> }[] = []
  return {
    broker,
    kafka,
    clean: (...more) => open.push(...more),
    [Symbol.asyncDispose]: async () => {
      for (const client of open) await client.disconnect()
      await broker.close()
    },
  }
}

/** Creates a topic with messages '0', '1', … in its first partition. */
export async function fill({ kafka }: Setup, topic: string, count: number, numPartitions = 1): Promise<void> {
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic, numPartitions }] })
  await admin.disconnect()
  const producer = kafka.producer()
  await producer.connect()
  const messages = Array.from({ length: count }, (_, index) => ({ value: String(index), partition: 0 }))
  if (count > 0) await producer.send({ topic, messages })
  await producer.disconnect()
}

/** Resolves when it is so. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10))
}

export async function failureOf(attempt: () => unknown): Promise<FailureShape> {
  try {
    await attempt()
  } catch (error) {
    return error as FailureShape
  }
  throw new Error('it did not fail')
}

export type FailureShape = Error & {
  readonly retriable?: boolean
  readonly type?: string
  readonly code?: number | string
  readonly retryCount?: number
  readonly errors?: readonly FailureShape[]
  readonly groups?: readonly { groupId: string; error: FailureShape }[]
}
