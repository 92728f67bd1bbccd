/** Access control rules, with the numbers kafkajs has for what the SDK names. */
import type { NewAcl, Acl as SdkAcl, AclFilter as SdkAclFilter } from '../admin/acls.ts'
import type { Admin as SdkAdmin } from '../admin/admin.ts'
import {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  kafkajsNumber,
  ResourcePatternTypes,
  sdkName,
} from './admin-resources.ts'
import type {
  AclEntry,
  AclFilter,
  DeleteAclResponse,
  DescribeAclResource,
  DescribeAclResponse,
  MatchingAcl,
} from './admin-types.ts'
import { KafkaJSNonRetriableError } from './errors.ts'

const UNKNOWN = 'unknown'
const ANY = 'any'

export async function createAcls(admin: SdkAdmin, acls: readonly AclEntry[]): Promise<void> {
  await admin.createAcls(
    acls.map(
      (acl) =>
        ({
          resourceType: nameOf('resource type', AclResourceTypes, acl.resourceType),
          resourceName: acl.resourceName,
          patternType: nameOf('resource pattern type', ResourcePatternTypes, acl.resourcePatternType),
          principal: acl.principal,
          host: acl.host,
          operation: nameOf('operation type', AclOperationTypes, acl.operation),
          permission: nameOf('permission type', AclPermissionTypes, acl.permissionType),
        }) as NewAcl,
    ),
  )
}

/** By resource. */
export async function describeAcls(admin: SdkAdmin, filter: AclFilter): Promise<DescribeAclResponse> {
  const resources = new Map<string, DescribeAclResource>()
  for (const acl of await admin.describeAcls(sdkFilter(filter))) {
    const { resourceType, resourceName, resourcePatternType, ...rule } = matchingAcl(acl)
    const key = `${resourceType} ${resourcePatternType} ${resourceName}`
    const resource = resources.get(key) ?? { resourceType, resourceName, resourcePatternType, acls: [] }
    const { principal, host, operation, permissionType } = rule
    resource.acls.push({ principal, host, operation, permissionType })
    resources.set(key, resource)
  }
  return { errorCode: 0, resources: [...resources.values()] }
}

export async function deleteAcls(admin: SdkAdmin, filters: readonly AclFilter[]): Promise<DeleteAclResponse> {
  const filterResponses: DeleteAclResponse['filterResponses'] = []
  for (const filter of filters) {
    const deleted = await admin.deleteAcls([sdkFilter(filter)])
    filterResponses.push({ errorCode: 0, matchingAcls: deleted.map(matchingAcl) })
  }
  return { filterResponses }
}

function sdkFilter(filter: AclFilter): SdkAclFilter {
  const names = {
    resourceType: nameOf('resource type', AclResourceTypes, filter.resourceType),
    patternType: nameOf('resource pattern filter type', ResourcePatternTypes, filter.resourcePatternType),
    operation: nameOf('operation type', AclOperationTypes, filter.operation),
    permission: nameOf('permission type', AclPermissionTypes, filter.permissionType),
  }
  const { resourceName, principal, host } = filter
  const asked = Object.entries({ ...names, resourceName, principal, host })
  return Object.fromEntries(asked.filter(([, value]) => value !== undefined && value !== ANY))
}

function nameOf(what: string, numbers: Readonly<Record<string, number>>, value: number): string {
  const name = sdkName(numbers, value)
  if (name === undefined || name === UNKNOWN) {
    throw new KafkaJSNonRetriableError(`Invalid ${what} ${String(value)}`)
  }
  return name
}

function matchingAcl(acl: SdkAcl): MatchingAcl {
  return {
    errorCode: 0,
    resourceType: kafkajsNumber(AclResourceTypes, acl.resourceType) as AclResourceTypes,
    resourceName: acl.resourceName,
    resourcePatternType: kafkajsNumber(ResourcePatternTypes, acl.patternType) as ResourcePatternTypes,
    principal: acl.principal,
    host: acl.host,
    operation: kafkajsNumber(AclOperationTypes, acl.operation) as AclOperationTypes,
    permissionType: kafkajsNumber(AclPermissionTypes, acl.permission) as AclPermissionTypes,
  }
}
