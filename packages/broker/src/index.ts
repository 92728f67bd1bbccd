export { Broker } from './broker.ts'
export { BrokerError, type BrokerErrorCode } from './broker-error.ts'
export {
  type OwnedScheduler,
  type Scheduled,
  type Scheduler,
  SystemScheduler,
} from './coordinator/scheduler.ts'
export type { GroupOptions } from './groups/group-options.ts'
export type { BrokerMetrics, LogLifeMetrics, RetentionMetrics } from './log-life/metrics.ts'
export type { Logger } from './logger.ts'
export type { BrokerOptions, HostAndPort } from './options.ts'
export type { InterceptedRequest, RequestInterceptor } from './request-interceptor.ts'
export { optionsFromSettings } from './settings/coordinator-settings.ts'
