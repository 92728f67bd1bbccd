/** Settings of topics and brokers, read and replaced as kafkajs does. */
import type { Admin as SdkAdmin } from '../admin/admin.ts'
import type { ConfigEntry, ConfigResource } from '../admin/configs.ts'
import { ConfigResourceTypes, ConfigSource, kafkajsNumber } from './admin-resources.ts'
import type { Admin, DescribeConfigResponse, IResourceConfig, ResourceConfigQuery } from './admin-types.ts'
import { KafkaJSNonRetriableError } from './errors.ts'

export async function describeConfigs(
  admin: SdkAdmin,
  { resources, includeSynonyms }: Parameters<Admin['describeConfigs']>[0],
): Promise<DescribeConfigResponse> {
  const described = resources.map(async ({ type, name, configNames }) => {
    const entries = await admin.describeConfigs(configResource(type, name), {
      synonyms: includeSynonyms ?? false,
      ...(configNames === undefined ? {} : { names: configNames }),
    })
    return {
      configEntries: entries.map(configEntry),
      errorCode: 0,
      errorMessage: '',
      resourceName: name,
      resourceType: type,
    }
  })
  return { resources: await Promise.all(described) }
}

/**
 * Settings that are not named go back to their defaults: that is what AlterConfigs of Kafka does, which kafkajs uses.
 * The SDK changes settings one by one, so what is set is read first.
 */
export async function alterConfigs(
  admin: SdkAdmin,
  { resources, validateOnly }: Parameters<Admin['alterConfigs']>[0],
): Promise<void> {
  for (const { type, name, configEntries } of resources) {
    const resource = configResource(type, name)
    const changes: Record<string, string | null> = {}
    for (const entry of await admin.describeConfigs(resource)) {
      if (ownSources.includes(entry.source)) changes[entry.name] = null
    }
    for (const entry of configEntries) changes[entry.name] = entry.value
    await admin.alterConfigs(resource, changes, { validateOnly })
  }
}

/** Throws where kafkajs does. */
export function checkResources(resources: readonly (ResourceConfigQuery | IResourceConfig)[]): void {
  if (!Array.isArray(resources)) {
    throw new KafkaJSNonRetriableError(`Invalid resources array ${String(resources)}`)
  }
  if (resources.length === 0) throw new KafkaJSNonRetriableError('Resources array cannot be empty')
  for (const one of resources) {
    if (!Object.values(ConfigResourceTypes).includes(one.type)) {
      throw new KafkaJSNonRetriableError(`Invalid resource type ${one.type}: ${JSON.stringify(one)}`)
    }
    if (!one.name || typeof one.name !== 'string') {
      throw new KafkaJSNonRetriableError(`Invalid resource name ${one.name}: ${JSON.stringify(one)}`)
    }
  }
}

/** Sources of what somebody set for a resource while the cluster runs. */
const ownSources: readonly string[] = [
  'dynamic_topic_config',
  'dynamic_broker_config',
  'dynamic_broker_logger_config',
]

function configResource(type: ConfigResourceTypes, name: string): ConfigResource {
  if (type === ConfigResourceTypes.TOPIC) return { topic: name }
  if (type === ConfigResourceTypes.BROKER) return { broker: Number(name) }
  if (type === ConfigResourceTypes.BROKER_LOGGER) return { brokerLogger: Number(name) }
  throw new KafkaJSNonRetriableError(`Invalid resource type ${type}`)
}

function configEntry(entry: ConfigEntry) {
  return {
    configName: entry.name,
    configValue: entry.value as string,
    isDefault: entry.isDefault,
    configSource: sourceNumber(entry.source),
    isSensitive: entry.isSensitive,
    readOnly: entry.isReadOnly,
    configSynonyms: entry.synonyms.map(({ name, value, source }) => ({
      configName: name,
      configValue: value as string,
      configSource: sourceNumber(source),
    })),
  }
}

function sourceNumber(source: string): ConfigSource {
  const name = source === 'dynamic_topic_config' ? 'topic_config' : source
  return kafkajsNumber(ConfigSource, name) as ConfigSource
}
