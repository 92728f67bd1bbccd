/** What may be done, by Kafka's names in lower case; in access control rules, and in what a broker allows this client. */
export const operations = [
  'unknown',
  'any',
  'all',
  'read',
  'write',
  'create',
  'delete',
  'alter',
  'describe',
  'cluster_action',
  'describe_configs',
  'alter_configs',
  'idempotent_write',
  'create_tokens',
  'describe_tokens',
  'two_phase_commit',
] as const

export type Operation = Exclude<(typeof operations)[number], 'unknown' | 'any'>

const FIRST = operations.indexOf('all')
const NOT_TOLD = -(2 ** 31)

/** Reads a set of operations: bit number = code of the operation; null where the broker did not tell (KIP-430). */
export function operationsOf(bits: number): Operation[] | null {
  if (bits === NOT_TOLD) return null
  return operations.filter((_, code): boolean => code >= FIRST && (bits & (1 << code)) !== 0) as Operation[]
}
