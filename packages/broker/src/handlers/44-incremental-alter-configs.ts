import {
  type IncrementalAlterConfigsRequest,
  type IncrementalAlterConfigsResponseInput,
  incrementalAlterConfigs,
} from '@streambus/protocol'
import type { BrokerServices, Handler } from '../handler.ts'
import { alter } from '../settings/altering.ts'
import type { SettingsOutcome, TopicSettingsTable } from '../settings/topic-settings.ts'

/**
 * IncrementalAlterConfigs (key 44), versions 0–1 (KIP-339): sets, deletes, or, for lists, appends to and
 * subtracts from single settings of a topic; the rest stay as they are. Resources succeed or fail one by one,
 * each with all its changes or none. Broker settings are read-only.
 */
type Change = IncrementalAlterConfigsRequest['resources'][number]['configs'][number]

const Operation = { SET: 0, DELETE: 1, APPEND: 2, SUBTRACT: 3 } as const

export function incrementalAlterConfigsHandler(
  services: BrokerServices,
): Handler<IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponseInput> {
  const { topicSettings } = services
  return {
    api: incrementalAlterConfigs,
    minVersion: 0,
    maxVersion: 1,
    async handle({ resources, validateOnly }) {
      const responses = await alter(services, resources, validateOnly, ({ configs }, topic) =>
        applyChanges(topicSettings, topic.configs, configs),
      )
      return { throttleTimeMs: 0, responses }
    },
  }
}

function applyChanges(
  table: TopicSettingsTable,
  current: Readonly<Record<string, string>>,
  changes: readonly Change[],
): SettingsOutcome {
  const configs = { ...current }
  const changed = new Set<string>()
  for (const change of changes) {
    const { name } = change
    const unknown = table.problemWithName(name)
    if (unknown !== undefined) return { problem: unknown }
    if (changed.has(name)) return { problem: `Setting ${name} is changed twice.` }
    changed.add(name)
    if (change.configOperation === Operation.DELETE) {
      delete configs[name]
      continue
    }
    const value = newValue(table, change, configs[name] ?? table.defaultOf(name))
    if (typeof value !== 'string') return value
    const problem = table.problemWith(name, value)
    if (problem !== undefined) return { problem }
    configs[name] = value
  }
  const problem = table.problemTogether(configs)
  return problem === undefined ? { configs } : { problem }
}

function newValue(
  table: TopicSettingsTable,
  { name, configOperation, value }: Change,
  current: string,
): string | { problem: string } {
  if (value === null) return { problem: `Setting ${name} has no value; delete it to have its default.` }
  if (configOperation === Operation.SET) return value
  if (configOperation !== Operation.APPEND && configOperation !== Operation.SUBTRACT) {
    return {
      problem: `There is no operation ${configOperation}: use 0 set, 1 delete, 2 append or 3 subtract.`,
    }
  }
  if (!table.isList(name))
    return { problem: `Setting ${name} is no list, so nothing is appended or subtracted.` }
  const items = current.split(',').filter((item) => item !== '')
  const given = value.split(',').map((item) => item.trim())
  return configOperation === Operation.APPEND
    ? [...new Set([...items, ...given])].join(',')
    : items.filter((item) => !given.includes(item)).join(',')
}
