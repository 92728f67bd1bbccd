import { type AlterConfigsRequest, type AlterConfigsResponseInput, alterConfigs } from '@streambus/protocol'
import type { BrokerServices, Handler } from '../handler.ts'
import { alter } from '../settings/altering.ts'

/**
 * AlterConfigs (key 33), versions 0–2: replaces all settings of a topic by those given; the rest get their
 * defaults. Resources succeed or fail one by one. Broker settings are read-only.
 */
export function alterConfigsHandler(
  services: BrokerServices,
): Handler<AlterConfigsRequest, AlterConfigsResponseInput> {
  const { topicSettings } = services
  return {
    api: alterConfigs,
    minVersion: 0,
    maxVersion: 2,
    async handle({ resources, validateOnly }) {
      const responses = await alter(services, resources, validateOnly, ({ configs }) =>
        topicSettings.check(configs),
      )
      return { throttleTimeMs: 0, responses }
    },
  }
}
