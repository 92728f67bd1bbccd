/** How much users, clients and addresses may take: quotas (KIP-13, KIP-546). */
import { alterClientQuotas, describeClientQuotas } from '@streambus/protocol'
import { brokerError, StreamBusError } from '../errors.ts'
import type { AdminOptions, AdminRequests, Outcome } from './admin-requests.ts'
import type { ChangeOptions } from './topics.ts'

/** Whom a quota is for, by user, client id, both, or address; null is the default for those that have none of their own. */
export interface QuotaEntity {
  readonly user?: string | null
  readonly clientId?: string | null
  readonly ip?: string | null
}

/** By Kafka's names: `producer_byte_rate` and `consumer_byte_rate` in bytes per second, `request_percentage`, … */
export type Quotas = Readonly<Record<string, number>>

export interface QuotaDescription {
  readonly entity: QuotaEntity
  readonly quotas: Quotas
}

/** Each part a name, null for the default, or true for whatever it is. */
export interface QuotaFilter {
  readonly user?: string | null | true
  readonly clientId?: string | null | true
  readonly ip?: string | null | true
}

export interface DescribeQuotasOptions extends AdminOptions {
  /** Leaves out what is for more than the filter names: a quota of a user with one client id, by a filter of the user. */
  strict?: boolean
}

export interface QuotaChange {
  /** Whose quotas they are. */
  readonly entity: QuotaEntity
  /** Null takes a quota away. The others stay. */
  readonly quotas: Readonly<Record<string, number | null>>
}

const wireTypes = { user: 'user', clientId: 'client-id', ip: 'ip' } as const
type Part = keyof typeof wireTypes
const parts = Object.keys(wireTypes) as Part[]
const MatchType = { EXACT: 0, DEFAULT: 1, ANY: 2 } as const

export function describeMatchingQuotas(
  requests: AdminRequests,
  filter: QuotaFilter,
  options: DescribeQuotasOptions,
): Promise<QuotaDescription[]> {
  const components = parts.flatMap((part) => {
    const wanted = filter[part]
    if (wanted === undefined) return []
    const matchType = wanted === true ? MatchType.ANY : wanted === null ? MatchType.DEFAULT : MatchType.EXACT
    return [{ entityType: wireTypes[part], matchType, match: typeof wanted === 'string' ? wanted : null }]
  })
  return requests.onController(options, async (connection) => {
    const answer = await connection.request(describeClientQuotas, {
      components,
      strict: options.strict ?? false,
    })
    if (answer.errorCode !== 0) {
      throw brokerError(answer.errorCode, 'Cannot describe quotas', answer.errorMessage)
    }
    return (answer.entries ?? []).map(({ entity, values }) => ({
      entity: entityOf(entity),
      quotas: Object.fromEntries(values.map(({ key, value }) => [key, value])),
    }))
  })
}

export async function alterEachQuota(
  requests: AdminRequests,
  changes: readonly QuotaChange[],
  options: ChangeOptions,
): Promise<Outcome<undefined>[]> {
  for (const { entity } of changes) {
    if (parts.some((part) => entity[part] !== undefined)) continue
    throw new StreamBusError(
      'INVALID_ARGUMENT',
      'A quota is for a user, a clientId, or an ip: name one of them.',
    )
  }
  const attempt = requests.controllerAttempts(async (connection, open: readonly QuotaChange[]) => {
    const answer = await connection.request(alterClientQuotas, {
      entries: open.map(({ entity, quotas }) => ({
        entity: parts.flatMap((part) => {
          const name = entity[part]
          return name === undefined ? [] : [{ entityType: wireTypes[part], entityName: name }]
        }),
        ops: Object.entries(quotas).map(([key, value]) => ({
          key,
          value: value ?? 0,
          remove: value === null,
        })),
      })),
      validateOnly: options.validateOnly ?? false,
    })
    return new Map(
      answer.entries.map(({ entity, errorCode, errorMessage }) => {
        const key = inWords(entityOf(entity))
        return [
          key,
          errorCode === 0 ? undefined : brokerError(errorCode, `Cannot change the ${key}`, errorMessage),
        ]
      }),
    )
  })
  return await requests.each<QuotaChange, undefined>(
    changes,
    ({ entity }) => inWords(entity),
    options,
    attempt,
  )
}

function entityOf(entity: readonly { entityType: string; entityName: string | null }[]): QuotaEntity {
  return Object.fromEntries(
    entity.map(({ entityType, entityName }) => [
      parts.find((part) => wireTypes[part] === entityType) ?? entityType,
      entityName,
    ]),
  )
}

function inWords(entity: QuotaEntity): string {
  const named = parts.filter((part) => entity[part] !== undefined)
  return `quotas of ${named.map((part) => `${part} ${entity[part] === null ? 'by default' : `'${entity[part]}'`}`).join(', ')}`
}
