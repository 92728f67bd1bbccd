/**
 * The part of the Standard Schema interface, version 1 (https://standardschema.dev), that is used here. Zod,
 * Valibot, ArkType and others implement it.
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>
    /** Never there at run time: what the compiler infers the types from. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
  }
}

export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] }

export interface SchemaIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

export function isStandardSchema(candidate: object): candidate is StandardSchema {
  return '~standard' in candidate
}

/** `items[0].price: Expected number`, one after the other, the first few. */
export function issueSentence(issues: readonly SchemaIssue[]): string {
  const shown = issues.slice(0, MAX_ISSUES).map(({ message, path }) => {
    const place = (path ?? []).map((part) => pathPart(typeof part === 'object' ? part.key : part)).join('')
    return place === '' ? message : `${place.replace(/^\./, '')}: ${message}`
  })
  if (issues.length > MAX_ISSUES) shown.push(`and ${issues.length - MAX_ISSUES} more`)
  return shown.join('; ')
}

const MAX_ISSUES = 3

function pathPart(key: PropertyKey): string {
  return typeof key === 'number' ? `[${key}]` : `.${String(key)}`
}
