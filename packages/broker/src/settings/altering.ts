import { ErrorCode } from '@streambus/protocol'
import type { Topic } from '@streambus/storage'
import type { BrokerServices } from '../handler.ts'
import { prepareForCompaction } from '../produce/compaction-codecs.ts'
import { refusalOf } from '../storage-errors.ts'
import { findResource } from './config-resource.ts'
import type { SettingsOutcome } from './topic-settings.ts'

/** One resource of AlterConfigs or IncrementalAlterConfigs. */
export interface Alteration {
  readonly resourceType: number
  readonly resourceName: string
  readonly configs: readonly { readonly name: string }[]
}

export interface AlterationAnswer {
  readonly errorCode: number
  readonly errorMessage: string | null
  readonly resourceType: number
  readonly resourceName: string
}

/** Works out a topic's new settings from the ones it has. */
export type NewSettings<A> = (alteration: A, topic: Topic) => SettingsOutcome

/**
 * Alters resources one by one: what both altering APIs have in common. Alterations of one broker run one
 * after another, so that each starts from the settings the one before has left.
 */
export function alter<A extends Alteration>(
  services: BrokerServices,
  alterations: readonly A[],
  validateOnly: boolean,
  newSettings: NewSettings<A>,
): Promise<AlterationAnswer[]> {
  const times = new Map<string, number>()
  for (const alteration of alterations) {
    const key = keyOf(alteration)
    times.set(key, (times.get(key) ?? 0) + 1)
  }
  return services.topicChanges.inTurn(async () => {
    const answers: AlterationAnswer[] = []
    for (const alteration of alterations) {
      const { resourceType, resourceName } = alteration
      const refusal =
        times.get(keyOf(alteration))! > 1
          ? refused(ErrorCode.INVALID_REQUEST, 'The resource is named more than once in the request.')
          : await alterOne(services, alteration, validateOnly, newSettings)
      answers.push({
        errorCode: refusal?.errorCode ?? ErrorCode.NONE,
        errorMessage: refusal?.errorMessage ?? null,
        resourceType,
        resourceName,
      })
    }
    return answers
  })
}

interface Refusal {
  readonly errorCode: number
  readonly errorMessage: string
}

async function alterOne<A extends Alteration>(
  services: BrokerServices,
  alteration: A,
  validateOnly: boolean,
  newSettings: NewSettings<A>,
): Promise<Refusal | undefined> {
  const { store, brokerSettings } = services
  const resource = findResource(services, alteration.resourceType, alteration.resourceName)
  if (resource.kind === 'refused') return resource
  if (resource.kind !== 'topic') {
    return refused(ErrorCode.INVALID_CONFIG, brokerSettings.refusal(alteration.configs[0]?.name))
  }
  const outcome = newSettings(alteration, resource.topic)
  if (outcome.problem !== undefined) return refused(ErrorCode.INVALID_CONFIG, outcome.problem)
  if (validateOnly) return undefined
  try {
    await prepareForCompaction(outcome.configs)
    await store.configureTopic(resource.topic.id, outcome.configs)
    return undefined
  } catch (error) {
    return refusalOf(error)
  }
}

function keyOf({ resourceType, resourceName }: Alteration): string {
  return `${resourceType}:${resourceName}`
}

function refused(errorCode: number, errorMessage: string): Refusal {
  return { errorCode, errorMessage }
}
