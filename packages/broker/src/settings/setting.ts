/** Kafka's resource types that have settings. */
export const ResourceType = { TOPIC: 2, BROKER: 4 } as const

/** Kafka's numbers for where a value comes from. */
export const ConfigSource = { TOPIC: 1, STATIC_BROKER: 4, DEFAULT: 5 } as const

/** Kafka's numbers for the type of a value. */
export const ConfigType = { BOOLEAN: 1, STRING: 2, INT: 3, LONG: 5, DOUBLE: 6, LIST: 7 } as const

export interface ConfigSynonym {
  readonly name: string
  readonly value: string | null
  readonly source: number
}

/** One setting of one resource, as DescribeConfigs and CreateTopics tell it. */
export interface DescribedSetting {
  readonly name: string
  readonly value: string | null
  readonly source: number
  readonly readOnly: boolean
  readonly type: number
  readonly documentation: string
  /** Where the value would come from, in order of precedence; the first is where it does come from. */
  readonly synonyms: readonly ConfigSynonym[]
}
