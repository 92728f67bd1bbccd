export { Broker } from './broker.ts'
export { BrokerError, type BrokerErrorCode } from './broker-error.ts'
export type { Logger } from './logger.ts'
export type { BrokerOptions, HostAndPort } from './options.ts'
