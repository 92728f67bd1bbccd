/** Who may do what with what: access control rules of the cluster (KIP-11, KIP-140, KIP-290). */
import { createAcls, deleteAcls, describeAcls } from '@streambus/protocol'
import { brokerError, StreamBusError } from '../errors.ts'
import { type AdminOptions, type AdminRequests, allSucceeded, type Outcome } from './admin-requests.ts'
import { type Operation, operations } from './operations.ts'

export type AclResourceType = Exclude<(typeof resourceTypes)[number], 'unknown' | 'any'>
export type AclPatternType = 'literal' | 'prefixed'
export type AclPermission = 'allow' | 'deny'

export interface NewAcl {
  readonly resourceType: AclResourceType
  /** `*` for all of that type; of the cluster `kafka-cluster`. */
  readonly resourceName: string
  /** `prefixed`: everything whose name begins like that. Default `literal`. */
  readonly patternType?: AclPatternType
  /** `User:ann`; `User:*` for everybody. */
  readonly principal: string
  /** Address of the client. Default `*`, from everywhere. */
  readonly host?: string
  readonly operation: Operation
  readonly permission: AclPermission
}

/** `unknown` stands for what a newer broker has and this client has no name for. */
export interface Acl {
  readonly resourceType: AclResourceType | 'unknown'
  readonly resourceName: string
  readonly patternType: AclPatternType | 'unknown'
  readonly principal: string
  readonly host: string
  readonly operation: Operation | 'unknown'
  readonly permission: AclPermission | 'unknown'
}

/** What is left out may be anything. */
export interface AclFilter {
  /** Kind of resource the rule is about. */
  readonly resourceType?: AclResourceType
  /** Its name, as it stands in the rule; with `match` that of a resource. */
  readonly resourceName?: string
  /** `match`: all rules that concern a resource of the name, by its name, by a prefix or by `*`. */
  readonly patternType?: AclPatternType | 'match'
  /** Whom the rule is about: `User:ann`. */
  readonly principal?: string
  /** The address they come from; `*` in rules for all of them. */
  readonly host?: string
  /** What they do. */
  readonly operation?: Operation
  /** Whether the rule allows it. */
  readonly permission?: AclPermission
}

/** Codes are positions, as they are of operations. */
const resourceTypes = [
  'unknown',
  'any',
  'topic',
  'group',
  'cluster',
  'transactional_id',
  'delegation_token',
  'user',
] as const
const patternTypes = ['unknown', 'any', 'match', 'literal', 'prefixed'] as const
const permissions = ['unknown', 'any', 'deny', 'allow'] as const

export function describeMatching(
  requests: AdminRequests,
  filter: AclFilter,
  options: AdminOptions,
): Promise<Acl[]> {
  return requests.onController(options, async (connection) => {
    const answer = await connection.request(describeAcls, wireFilter(filter))
    if (answer.errorCode !== 0) {
      throw brokerError(answer.errorCode, 'Cannot describe access control rules', answer.errorMessage)
    }
    return answer.resources.flatMap((resource) => resource.acls.map((acl) => aclOf({ ...resource, ...acl })))
  })
}

export async function createEachAcl(
  requests: AdminRequests,
  acls: readonly NewAcl[],
  options: AdminOptions,
): Promise<Outcome<undefined>[]> {
  const attempt = requests.controllerAttempts(async (connection, open: readonly NewAcl[]) => {
    const { results } = await connection.request(createAcls, {
      creations: open.map((acl) => ({
        resourceType: codeIn('resourceType', resourceTypes, acl.resourceType),
        resourceName: acl.resourceName,
        resourcePatternType: codeIn('patternType', patternTypes, acl.patternType ?? 'literal'),
        principal: acl.principal,
        host: acl.host ?? '*',
        operation: codeIn('operation', operations, acl.operation),
        permissionType: codeIn('permission', permissions, acl.permission),
      })),
    })
    return new Map(
      results.map(({ errorCode, errorMessage }, index) => {
        const rule = inWords(open[index] as NewAcl)
        return [
          rule,
          errorCode === 0 ? undefined : brokerError(errorCode, `Cannot create the ${rule}`, errorMessage),
        ]
      }),
    )
  })
  return await requests.each<NewAcl, undefined>(acls, inWords, options, attempt)
}

/** The rules that are gone. SOME_FAILED where a filter, or a rule that it matches, could not be dealt with. */
export async function deleteMatching(
  requests: AdminRequests,
  filters: readonly AclFilter[],
  options: AdminOptions,
): Promise<Acl[]> {
  if (filters.length === 0) return []
  const answer = await requests.onController(options, (connection) =>
    connection.request(deleteAcls, { filters: filters.map(wireFilter) }),
  )
  const items: (AclFilter | Acl)[] = []
  const outcomes: Outcome<Acl>[] = []
  for (const [index, { errorCode, errorMessage, matchingAcls }] of answer.filterResults.entries()) {
    if (errorCode !== 0) {
      items.push(filters[index] as AclFilter)
      outcomes.push(brokerError(errorCode, 'Cannot delete access control rules', errorMessage))
    }
    for (const match of matchingAcls) {
      const acl = aclOf(match)
      items.push(acl)
      const doing = `Cannot delete the ${inWords(acl)}`
      outcomes.push(match.errorCode === 0 ? acl : brokerError(match.errorCode, doing, match.errorMessage))
    }
  }
  return allSucceeded(items, outcomes)
}

function wireFilter(filter: AclFilter) {
  return {
    resourceTypeFilter: codeIn('resourceType', resourceTypes, filter.resourceType ?? 'any'),
    resourceNameFilter: filter.resourceName ?? null,
    patternTypeFilter: codeIn('patternType', patternTypes, filter.patternType ?? 'any'),
    principalFilter: filter.principal ?? null,
    hostFilter: filter.host ?? null,
    operation: codeIn('operation', operations, filter.operation ?? 'any'),
    permissionType: codeIn('permission', permissions, filter.permission ?? 'any'),
  }
}

function aclOf(acl: {
  resourceType: number
  resourceName: string
  patternType: number
  principal: string
  host: string
  operation: number
  permissionType: number
}): Acl {
  return {
    resourceType: (resourceTypes[acl.resourceType] ?? 'unknown') as Acl['resourceType'],
    resourceName: acl.resourceName,
    patternType: (patternTypes[acl.patternType] ?? 'unknown') as Acl['patternType'],
    principal: acl.principal,
    host: acl.host,
    operation: (operations[acl.operation] ?? 'unknown') as Acl['operation'],
    permission: (permissions[acl.permissionType] ?? 'unknown') as Acl['permission'],
  }
}

function codeIn(field: string, names: readonly string[], name: string): number {
  const code = names.indexOf(name)
  if (code > 0) return code
  const known = names.slice(1).join(', ')
  throw new StreamBusError('INVALID_ARGUMENT', `The ${field} of a rule is one of ${known}, not ${name}.`)
}

function inWords(acl: NewAcl | Acl): string {
  const { permission, principal, host = '*', operation, patternType = 'literal', resourceType } = acl
  return `rule that ${permission} ${principal} from ${host} to ${operation} ${patternType} ${resourceType} '${acl.resourceName}'`
}
