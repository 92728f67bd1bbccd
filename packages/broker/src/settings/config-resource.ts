import { ErrorCode } from '@streambus/protocol'
import type { Topic } from '@streambus/storage'
import type { BrokerServices } from '../handler.ts'
import { NODE_ID } from '../node-identity.ts'
import { topicNameProblem } from '../topics/topic-name.ts'
import { ResourceType } from './setting.ts'

/** What a (type, name) pair of the configuration APIs stands for. */
export type ConfigResource =
  | { readonly kind: 'topic'; readonly topic: Topic }
  | { readonly kind: 'broker' }
  /** Broker '': settings of all brokers made at run time, of which there are none. */
  | { readonly kind: 'every-broker' }
  | { readonly kind: 'refused'; readonly errorCode: number; readonly errorMessage: string }

export function findResource({ store }: BrokerServices, type: number, name: string): ConfigResource {
  switch (type) {
    case ResourceType.TOPIC: {
      const topic = store.topics.byName(name)
      if (topic !== undefined) return { kind: 'topic', topic }
      const problem = topicNameProblem(name)
      return problem === undefined
        ? refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, `There is no topic '${name}'.`)
        : refused(ErrorCode.INVALID_TOPIC_EXCEPTION, problem)
    }
    case ResourceType.BROKER:
      if (name === String(NODE_ID)) return { kind: 'broker' }
      if (name === '') return { kind: 'every-broker' }
      return refused(
        ErrorCode.INVALID_REQUEST,
        `There is no broker '${name.slice(0, 100)}': give ${NODE_ID}, or '' for the settings of all brokers.`,
      )
    default:
      return refused(
        ErrorCode.INVALID_REQUEST,
        `Resource type ${type} has no settings here: topics (${ResourceType.TOPIC}) and brokers (${ResourceType.BROKER}) have.`,
      )
  }
}

function refused(errorCode: number, errorMessage: string): ConfigResource {
  return { kind: 'refused', errorCode, errorMessage }
}
