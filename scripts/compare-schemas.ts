/**
 * Compares every schema of @streambus/protocol (requests, responses, records of the coordinators' logs, the
 * protocol of consumers), version by version, with Kafka's own definitions: the JSON resources inside its jars.
 * Versions that newer releases of Kafka have removed are compared with the last release that had them. Prints
 * each difference, then "N passed, 0 failed", where N counts versions of messages; exits with 1 if there is a
 * difference.
 *
 *     npm run check:schemas
 */
import { readFile } from 'node:fs/promises'
import {
  apis,
  consumerProtocolAssignment,
  consumerProtocolSubscription,
  groupRecords,
  type MessageSchema,
  transactionRecords,
} from '@streambus/protocol'
import { strFromU8, unzipSync } from 'fflate'
import {
  type Field,
  type Fields,
  fieldInVersion,
  OWN_TAGS,
  parseVersions,
  type VersionRange,
} from '../packages/protocol/src/schema.ts'
import { fetchJar } from '../peers/maven.ts'
import { versions } from '../peers/versions.ts'

/** Newest first: a version of a message is compared with the first release that defines it. */
const releases: readonly { kafka: string; artifacts: readonly string[] }[] = [
  {
    kafka: versions.kafka,
    artifacts: ['kafka-clients', 'kafka-group-coordinator', 'kafka-transaction-coordinator'],
  },
  { kafka: '3.9.1', artifacts: ['kafka-clients'] },
]
const definitionsFolder = 'common/message/'

interface KafkaField {
  name: string
  type: string
  /** Left out in some definitions of tagged fields: those of `taggedVersions` then. */
  versions?: string
  nullableVersions?: string
  taggedVersions?: string
  flexibleVersions?: string
  tag?: number
  default?: string | number | boolean | null
  ignorable?: boolean | string
  fields?: KafkaField[]
}

interface KafkaStruct {
  name: string
  fields: KafkaField[]
}

interface KafkaMessage extends KafkaStruct {
  /** Of a request or response its API, of a record in a coordinator's log its type. */
  apiKey?: number
  validVersions: string
  flexibleVersions: string
  commonStructs?: KafkaStruct[]
}

/** A field as it is in one version, in a form that both sides can be brought to. */
interface ComparableField {
  name: string
  type: string
  nullable: boolean
  tag: number | null
  default: string
  ignorable: boolean
  fields: ComparableField[] | null
}

/** Kafka's definitions in one release, by message name. */
async function kafkaMessages({
  kafka,
  artifacts,
}: (typeof releases)[number]): Promise<Map<string, KafkaMessage>> {
  const messages = new Map<string, KafkaMessage>()
  for (const artifact of artifacts) {
    const jar = await readFile(await fetchJar(`org.apache.kafka:${artifact}:${kafka}`))
    const files = unzipSync(jar, {
      filter: ({ name }) => name.startsWith(definitionsFolder) && name.endsWith('.json'),
    })
    for (const bytes of Object.values(files)) {
      const withoutComments = strFromU8(bytes).replace(/^\s*\/\/.*$/gm, '')
      const message = JSON.parse(withoutComments) as KafkaMessage
      messages.set(message.name, message)
    }
  }
  return messages
}

function covers(range: string | undefined, version: number): boolean {
  if (range === undefined || range === 'none') return false
  const [first, last] = parseVersions(range as VersionRange)
  return first <= version && version <= last
}

function lowerFirst(name: string): string {
  return name.slice(0, 1).toLowerCase() + name.slice(1)
}

function theirFields(
  fields: readonly KafkaField[],
  version: number,
  message: KafkaMessage,
): ComparableField[] {
  const comparable: ComparableField[] = []
  for (const field of fields) {
    if (!covers(field.versions ?? field.taggedVersions, version)) continue
    if (field.flexibleVersions !== undefined) {
      throw new Error(`${message.name}.${field.name} overrides flexibleVersions, which schemas cannot say`)
    }
    const isArray = field.type.startsWith('[]')
    const elementType = isArray ? field.type.slice(2) : field.type
    const inner = field.fields ?? message.commonStructs?.find((struct) => struct.name === elementType)?.fields
    const type = inner === undefined ? elementType : 'struct'
    comparable.push({
      name: lowerFirst(field.name),
      type: isArray ? `array of ${type}` : type,
      nullable: covers(field.nullableVersions, version),
      tag: covers(field.taggedVersions, version) ? field.tag! : null,
      default: normalDefault(isArray ? 'array' : type, field.default),
      ignorable: String(field.ignorable) === 'true',
      fields: inner === undefined ? null : theirFields(inner, version, message),
    })
  }
  return comparable
}

function ourFields(fields: Fields, version: number): ComparableField[] {
  const comparable: ComparableField[] = []
  for (const [name, field] of Object.entries(fields)) {
    const { present, nullable, tag } = fieldInVersion(field, version)
    if (!present) continue
    const element: Field = field.element ?? field
    comparable.push({
      name,
      type: field.type === 'array' ? `array of ${element.type}` : field.type,
      nullable,
      tag: tag ?? null,
      default: normalDefault(field.type, field.options.default),
      ignorable: field.options.ignorable === true,
      fields: element.fields === undefined ? null : ourFields(element.fields, version),
    })
  }
  return comparable
}

/** Kafka writes the same default as text, number or hexadecimal, and leaves out those of the type. */
function normalDefault(type: string, given: unknown): string {
  if (given === null || given === 'null') return 'null'
  if (given === undefined) {
    if (type === 'array' || type === 'struct' || type === 'bytes' || type === 'records') return 'empty'
    return type === 'bool' ? 'false' : type === 'string' || type === 'uuid' ? '""' : '0'
  }
  if (type === 'string') return JSON.stringify(given)
  if (type === 'bool') return String(given)
  return BigInt(given as string | number | bigint).toString()
}

const comparedKeys = ['type', 'nullable', 'tag', 'default', 'ignorable'] as const

/** What two lists of fields differ in, but for the keys in `except`. */
function differences(
  path: string,
  ours: ComparableField[],
  theirs: ComparableField[],
  except: readonly string[],
): string[] {
  const found: string[] = []
  const order = (fields: ComparableField[]): string =>
    fields
      .filter(({ tag }) => tag === null)
      .map(({ name }) => name)
      .join(', ')
  if (order(ours) !== order(theirs)) {
    found.push(`${path}: fields are [${order(ours)}], Kafka has [${order(theirs)}]`)
  }
  for (const their of theirs) {
    const our = ours.find(({ name }) => name === their.name)
    const fieldPath = `${path}.${their.name}`
    if (our === undefined) {
      if (their.tag !== null) found.push(`${fieldPath}: missing`)
      continue
    }
    for (const key of comparedKeys) {
      if (our[key] !== their[key] && !except.includes(key)) {
        found.push(`${fieldPath}: ${key} is ${our[key]}, Kafka has ${their[key]}`)
      }
    }
    if (our.fields !== null && their.fields !== null) {
      found.push(...differences(fieldPath, our.fields, their.fields, except))
    }
  }
  for (const our of ours) {
    if (our.tag !== null && our.tag < OWN_TAGS && !theirs.some(({ name }) => name === our.name)) {
      found.push(`${path}.${our.name}: Kafka has no such field`)
    }
  }
  return found
}

/** One schema, under the name of its definition. */
interface Subject {
  name: string
  /** Null where Kafka's definition has no key. */
  key: number | null
  schema: MessageSchema
}

function compareVersion(
  { name, key, schema }: Subject,
  version: number,
  definitions: readonly Map<string, KafkaMessage>[],
): string[] {
  const message = definitions
    .map((messages) => messages.get(name))
    .find((candidate) => candidate !== undefined && covers(candidate.validVersions, version))
  const path = `${name} v${version}`
  if (message === undefined) {
    return [`${path}: none of Kafka ${releases.map(({ kafka }) => kafka).join(', ')} has it`]
  }
  const found: string[] = []
  const theirKey = message.apiKey ?? null
  if (theirKey !== key) found.push(`${path}: key is ${key}, Kafka has ${theirKey}`)
  const flexible = version >= schema.flexibleFrom
  if (flexible !== covers(message.flexibleVersions, version)) {
    found.push(`${path}: flexible is ${flexible}, Kafka has ${!flexible}`)
  }
  // Whether a field may be dropped matters in versions without it only, so the newest definition decides.
  const newest = definitions[0]!.get(name)
  const except = newest === undefined || newest === message ? [] : ['ignorable']
  const theirs = theirFields(message.fields, version, message)
  return [...found, ...differences(path, ourFields(schema.fields, version), theirs, except)]
}

const records = [...groupRecords.formats, ...transactionRecords.formats]
const subjects: Subject[] = [
  ...apis.flatMap(({ name, key, request, response }) => [
    { name: `${name}Request`, key, schema: request },
    { name: `${name}Response`, key, schema: response },
  ]),
  ...records.flatMap(({ kind, type, key, value }) => [
    { name: `${kind}Key`, key: type, schema: key },
    { name: `${kind}Value`, key: type, schema: value },
  ]),
  { name: 'ConsumerProtocolSubscription', key: null, schema: consumerProtocolSubscription },
  { name: 'ConsumerProtocolAssignment', key: null, schema: consumerProtocolAssignment },
]

const definitions = await Promise.all(releases.map(kafkaMessages))
let passed = 0
let failed = 0
for (const subject of subjects) {
  for (let version = subject.schema.minVersion; version <= subject.schema.maxVersion; version++) {
    const found = compareVersion(subject, version, definitions)
    for (const difference of found) console.error(difference)
    if (found.length === 0) passed++
    else failed++
  }
}
console.log(`${passed} passed, ${failed} failed`)
if (failed > 0) process.exitCode = 1
