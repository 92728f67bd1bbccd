/**
 * Settings that can come from the command line, the environment, the configuration file or the default, in
 * this order. Each has one name: `--default-partitions` is STREAMBUS_DEFAULT_PARTITIONS in the environment and
 * `defaultPartitions` in the file.
 */
import { UsageError } from './failure.ts'

export interface Setting<T> {
  /** How a value in text becomes a value; throws UsageError with what is allowed. */
  readonly parse: (text: string, name: string) => T
  /** What the configuration file may hold. */
  readonly fileType: 'string' | 'number' | 'boolean'
}

export interface Address {
  readonly host: string
  readonly port: number
}

export const text: Setting<string> = {
  fileType: 'string',
  parse: (value, name) => {
    if (value === '') throw new UsageError(`${name} must not be empty.`)
    return value
  },
}

export function integer(least: number, most: number): Setting<number> {
  return {
    fileType: 'number',
    parse: (value, name) => {
      const number = Number(value)
      if (!/^-?\d+$/.test(value) || number < least || number > most) {
        throw new UsageError(`${name} must be a whole number from ${least} to ${most}, not '${value}'.`)
      }
      return number
    },
  }
}

export const boolean: Setting<boolean> = {
  fileType: 'boolean',
  parse: (value, name) => {
    if (/^(true|yes|on|1)$/i.test(value)) return true
    if (/^(false|no|off|0)$/i.test(value)) return false
    throw new UsageError(`${name} must be true or false, not '${value}'.`)
  },
}

export function oneOf<const T extends string>(...allowed: readonly T[]): Setting<T> {
  return {
    fileType: 'string',
    parse: (value, name) => {
      const found = allowed.find((one) => one === value)
      if (found === undefined) {
        throw new UsageError(`${name} must be one of ${allowed.join(', ')}, not '${value}'.`)
      }
      return found
    },
  }
}

/** Broker settings by their Kafka names: `name=value`, separated by spaces. */
export const namedValues: Setting<Readonly<Record<string, string>>> = {
  fileType: 'string',
  parse: (value, name) => {
    const values: Record<string, string> = {}
    for (const entry of value.split(/\s+/).filter((one) => one !== '')) {
      const at = entry.indexOf('=')
      if (at < 1) throw new UsageError(`${name} takes name=value, not '${entry}'.`)
      values[entry.slice(0, at)] = entry.slice(at + 1)
    }
    return values
  },
}

export const address: Setting<Address> = {
  fileType: 'string',
  parse: (value, name) => {
    const match = /^(?:\[([^\]]+)\]|([^:[\]\s/]+)):(\d{1,5})$/.exec(value)
    const port = Number(match?.[3])
    if (match === null || port < 1 || port > 65_535) {
      throw new UsageError(`${name} must be host:port, not '${value}'.`)
    }
    return { host: (match[1] ?? match[2]) as string, port }
  },
}

/** Everything the configuration file may hold; the broker and the client commands share it. */
export const settings = {
  host: text,
  port: integer(0, 65_535),
  data: text,
  durability: oneOf('fsync', 'os'),
  advertise: address,
  autoCreateTopics: boolean,
  defaultPartitions: integer(1, 100_000),
  maxFrameBytes: integer(1024, 1024 * 1024 * 1024),
  maxConnections: integer(1, 2 ** 31 - 1),
  maxPartitions: integer(1, 2 ** 31 - 1),
  cacheBytes: integer(4 * 1024 ** 2, 4 * 1024 ** 3),
  truncateDamaged: boolean,
  connectionIdleMs: integer(1, 2 ** 31 - 1),
  shutdownTimeoutMs: integer(0, 2 ** 31 - 1),
  set: namedValues,
  logLevel: oneOf('debug', 'info', 'warn', 'error', 'silent'),
  brokers: text,
  tls: boolean,
  tlsCa: text,
  tlsCert: text,
  tlsKey: text,
  saslMechanism: oneOf('plain', 'scram-sha-256', 'scram-sha-512', 'oauthbearer'),
  username: text,
  password: text,
  token: text,
} as const satisfies Record<string, Setting<unknown>>

export type SettingName = keyof typeof settings
export type SettingValue<N extends SettingName> = (typeof settings)[N] extends Setting<infer T> ? T : never

export function environmentName(name: SettingName): string {
  return `STREAMBUS_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
}

export function flagName(name: SettingName): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

/** What the command line gave: text where an option has a value, booleans where it has none. */
export type GivenOptions = Readonly<Record<string, unknown>>

/**
 * Resolves the settings a command uses. The configuration file is read only where one is named, by `--config`
 * or STREAMBUS_CONFIG.
 */
export async function resolveSettings<N extends SettingName>(
  names: readonly N[],
  given: GivenOptions,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<{ [K in N]?: SettingValue<K> }> {
  const configFile = (given.config as string | undefined) ?? (environment.STREAMBUS_CONFIG || undefined)
  const fromFile =
    configFile === undefined ? {} : await (await import('./config-file.ts')).readConfigFile(configFile)
  const resolved: Partial<Record<SettingName, unknown>> = {}
  for (const name of names) {
    const flag = given[name]
    const variable = environmentName(name)
    const fromEnvironment = environment[variable]
    if (typeof flag === 'boolean') resolved[name] = flag
    else if (typeof flag === 'string') resolved[name] = settings[name].parse(flag, flagName(name))
    else if (fromEnvironment !== undefined && fromEnvironment !== '') {
      resolved[name] = settings[name].parse(fromEnvironment, variable)
    } else if (fromFile[name] !== undefined) resolved[name] = fromFile[name]
  }
  return resolved as { [K in N]?: SettingValue<K> }
}
