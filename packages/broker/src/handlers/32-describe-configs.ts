import {
  type DescribeConfigsRequest,
  type DescribeConfigsResponseInput,
  describeConfigs,
  ErrorCode,
} from '@streambus/protocol'
import type { BrokerServices, Handler } from '../handler.ts'
import { findResource } from '../settings/config-resource.ts'
import { ConfigSource, type DescribedSetting } from '../settings/setting.ts'

/**
 * DescribeConfigs (key 32), versions 0–4: every setting of topics and of the broker with value, default,
 * source, synonyms, type and documentation. Null keys ask for all; unknown keys are left out, as Kafka does.
 * The broker resource '' (defaults of the whole cluster, set at run time) exists and is empty.
 */
type Result = DescribeConfigsResponseInput['results'][number]

export function describeConfigsHandler(
  services: BrokerServices,
): Handler<DescribeConfigsRequest, DescribeConfigsResponseInput> {
  return {
    api: describeConfigs,
    minVersion: 0,
    maxVersion: 4,
    handle({ resources, includeSynonyms, includeDocumentation }, { version }) {
      const results = distinct(resources).map(({ resourceType, resourceName, configurationKeys }): Result => {
        const resource = findResource(services, resourceType, resourceName)
        if (resource.kind === 'refused') {
          const { errorCode, errorMessage } = resource
          return { errorCode, errorMessage, resourceType, resourceName, configs: [] }
        }
        const settings =
          resource.kind === 'topic'
            ? services.topicSettings.describe(resource.topic.configs)
            : resource.kind === 'broker'
              ? services.brokerSettings.describe()
              : []
        const wanted = configurationKeys === null ? undefined : new Set(configurationKeys)
        return {
          errorCode: ErrorCode.NONE,
          errorMessage: null,
          resourceType,
          resourceName,
          configs: settings
            .filter(({ name }) => wanted === undefined || wanted.has(name))
            .map((setting) => describe(setting, version, includeSynonyms, includeDocumentation)),
        }
      })
      return { throttleTimeMs: 0, results }
    },
  }
}

/**
 * Each resource once, with the keys of its last mention: the answer is hundreds of times as long as the
 * question, which must not be repeated at will.
 */
function distinct(resources: DescribeConfigsRequest['resources']): DescribeConfigsRequest['resources'] {
  const byName = new Map(resources.map((one) => [`${one.resourceType}:${one.resourceName}`, one]))
  return [...byName.values()]
}

function describe(
  { name, value, readOnly, source, type, synonyms, documentation }: DescribedSetting,
  version: number,
  includeSynonyms: boolean,
  includeDocumentation: boolean,
): Result['configs'][number] {
  return {
    name,
    value,
    readOnly,
    configSource: source,
    isSensitive: false,
    synonyms: includeSynonyms ? synonyms : [],
    configType: type,
    documentation: includeDocumentation ? documentation : null,
    // Later versions tell it by the source.
    ...(version === 0 && { isDefault: source === ConfigSource.DEFAULT }),
  }
}
