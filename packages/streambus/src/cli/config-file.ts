import { readFile } from 'node:fs/promises'
import { closest } from 'fastest-levenshtein'
import { parse } from 'yaml'
import { z } from 'zod'
import { UsageError } from './failure.ts'
import { type SettingName, settings } from './settings.ts'

const names = Object.keys(settings) as SettingName[]

/** Every key is optional and has the type its setting has; keys that are no setting are refused. */
const schema = z.strictObject(
  Object.fromEntries(names.map((name) => [name, fileValue(settings[name].fileType).optional()])),
)

function fileValue(type: 'string' | 'number' | 'boolean') {
  if (type === 'string') return z.string()
  return type === 'number' ? z.number() : z.boolean()
}

/** Reads and checks a configuration file. Throws UsageError with the file, the key and what is allowed. */
export async function readConfigFile(file: string): Promise<Partial<Record<SettingName, unknown>>> {
  let source: string
  try {
    source = await readFile(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const reason = code === 'ENOENT' ? 'there is no such file' : (error as Error).message
    throw new UsageError(`Cannot read the configuration file ${file}: ${reason}.`, { cause: error })
  }
  let content: unknown
  try {
    content = parse(source)
  } catch (error) {
    const reason = (error as Error).message.split('\n')[0]
    throw new UsageError(`${file} is not valid YAML: ${reason}`, { cause: error })
  }
  const checked = schema.safeParse(content ?? {})
  if (!checked.success) throw new UsageError(`${file}: ${explain(checked.error.issues[0])}`)
  const values: Partial<Record<SettingName, unknown>> = {}
  for (const name of names) {
    const value = checked.data[name]
    if (value !== undefined) values[name] = settings[name].parse(String(value), `${file}: ${name}`)
  }
  return values
}

function explain(issue: z.core.$ZodIssue | undefined): string {
  if (issue?.code === 'unrecognized_keys') {
    const key = issue.keys[0] as string
    return `there is no setting '${key}'; did you mean '${closest(key, names)}'?`
  }
  if (issue?.code === 'invalid_type' && issue.path.length === 0) {
    return 'the file must hold settings, one "name: value" a line.'
  }
  if (issue?.code === 'invalid_type') {
    const { expected } = issue
    return `${String(issue.path[0])} must be a ${expected}.`
  }
  return issue?.message ?? 'the file cannot be understood.'
}
