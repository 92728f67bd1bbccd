import type { ConfigEntry } from '@streambus/client'
import { counted, formatBytes } from './numbers.ts'

const UNITS = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1000],
] as const

/**
 * What a topic keeps, from its settings: 'Kept: for 7 days (cleanup.policy=delete)'. Empty where the broker does not
 * tell the policy.
 */
export function keptLine(configs: readonly Pick<ConfigEntry, 'name' | 'value'>[]): string {
  const value = (name: string): string | undefined =>
    configs.find((one) => one.name === name)?.value ?? undefined
  const policy = value('cleanup.policy')
  if (policy === undefined) return ''
  const policies = policy.split(',')
  const parts: string[] = []
  if (policies.includes('compact')) parts.push('the last record of each key')
  if (policies.includes('delete')) {
    const ms = limitOf(value('retention.ms'))
    const bytes = limitOf(value('retention.bytes'))
    if (ms !== undefined) parts.push(`for ${duration(ms)}`)
    if (bytes !== undefined) parts.push(`up to ${formatBytes(bytes)} per partition`)
  }
  return `Kept: ${parts.length === 0 ? 'for ever' : parts.join(', ')} (cleanup.policy=${policy})\n`
}

/** Undefined for Kafka's -1, and for what no log can reach: 2^53 ms are 285,000 years. */
export function limitOf(text: string | undefined): number | undefined {
  const number = Number(text ?? -1)
  return number >= 0 && number <= Number.MAX_SAFE_INTEGER ? number : undefined
}

/** In the largest unit of which it is a whole number. */
function duration(ms: number): string {
  const [noun, unitMs] = UNITS.find(([, size]) => ms > 0 && ms % size === 0) ?? ['millisecond', 1]
  return counted(ms / unitMs, noun)
}
