import { KafkaAdmin } from './admin.ts'
import type { Admin, AdminConfig } from './admin-types.ts'
import { checkConfiguration, defaultRequestTimeoutMs, type KafkaConfig } from './configuration.ts'
import { KafkaConnection } from './connection.ts'
import { KafkaConsumer } from './consumer.ts'
import type { Consumer, ConsumerConfig } from './consumer-types.ts'
import { createLogger, type Logger } from './logger.ts'
import { KafkaProducer } from './producer.ts'
import type { Producer, ProducerConfig } from './producer-types.ts'
import { type RetryOptions, retrySettings } from './retry.ts'

/** The client of kafkajs 2, over this one. Nothing connects before `connect()` of what it makes. */
export class Kafka {
  readonly #config: KafkaConfig
  readonly #logger: Logger

  constructor(config: KafkaConfig) {
    checkConfiguration(config)
    retrySettings(config.retry)
    this.#config = config
    this.#logger = createLogger(config.logLevel, config.logCreator)
  }

  producer(config: ProducerConfig = {}): Producer {
    const connection = this.#connection(config.retry, config.metadataMaxAge)
    const { requestTimeout = defaultRequestTimeoutMs } = this.#config
    return new KafkaProducer(connection, config, requestTimeout, this.#logger)
  }

  consumer(config: ConsumerConfig): Consumer {
    return new KafkaConsumer(this.#connection(config.retry, config.metadataMaxAge), config, this.#logger)
  }

  admin(config: AdminConfig = {}): Admin {
    return new KafkaAdmin(this.#connection(config.retry, undefined), this.#logger)
  }

  logger(): Logger {
    return this.#logger
  }

  #connection(retry: RetryOptions | undefined, metadataMaxAge: number | undefined): KafkaConnection {
    const settings = retrySettings(this.#config.retry, retry)
    return new KafkaConnection(this.#config, { retry: settings, metadataMaxAge }, this.#logger)
  }
}
