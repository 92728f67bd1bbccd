/** Options that several commands have. */
import { Option } from 'commander'

/** For options that may be given more than once. */
export const collect = (value: string, previous: readonly string[] = []) => [...previous, value]

export function brokersOption(): Option {
  return new Option(
    '-b, --brokers <host:port,…>',
    'brokers to ask (env: STREAMBUS_BROKERS; default: localhost:9092)',
  )
}

export function configOption(): Option {
  return new Option('--config <file>', 'read settings from a YAML file (env: STREAMBUS_CONFIG)')
}

export function jsonOption(description: string): Option {
  return new Option('--json', description)
}
