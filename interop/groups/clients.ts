/** The clients as members of groups: which ways of rebalancing each has, and the program that is a member. */
import { ensureProgram } from '../../peers/debian.ts'
import { javaProgram } from '../java-programs.ts'
import { kafkajs, type NpmSource, platformatic } from '../npm-clients.ts'
import { pythonProgram } from '../python-client.ts'
import { streambusProgram, streambusSdk } from '../streambus-client.ts'
import type { MemberEvent } from './group-log.ts'
import { type MemberProgram, nowUs } from './member.ts'

export const variants = ['eager', 'cooperative', 'static', 'consumer'] as const
export type Variant = (typeof variants)[number]

/** What a member is told when it starts. */
export interface Membership {
  readonly bootstrap: string
  readonly topic: string
  readonly group: string
  readonly variant: Variant
  readonly sessionTimeoutMs: number
  readonly instanceId: string | null
}

export interface GroupClient {
  readonly name: string
  /** Those it is run in; all that it does not lack unless given. */
  readonly variants?: readonly Variant[]
  /** The variants it lacks, with the reason. */
  readonly missing: Partial<Record<Variant, string>>
  /** False where it tells nobody what it committed. */
  readonly tellsCommits: boolean
  /** Its events have the time they were read, which is up to so much after they happened; 0 where it tells the time. */
  readonly readAfterMs: number
  /** It may commit a record before it has told of it: a member that ends in between loses that one. */
  readonly commitsBeforeProcessing?: true
  /** @param name a, b, c, …: which of the members it is */
  program(membership: Membership, name: string): Promise<MemberProgram>
}

const MEMBER_HEAP_MIB = 96

function memberArguments(membership: Membership): string[] {
  const { bootstrap, topic, group, variant, sessionTimeoutMs, instanceId } = membership
  return [bootstrap, topic, group, variant, String(sessionTimeoutMs), instanceId ?? '-']
}

const java: GroupClient = {
  name: 'Java kafka-clients',
  missing: {},
  tellsCommits: true,
  readAfterMs: 0,
  program: async (membership) => ({
    ...(await javaProgram('clients', 'GroupMember', memberArguments(membership), MEMBER_HEAP_MIB)),
    stopsBy: 'end of input',
  }),
}

const python: GroupClient = {
  name: 'kafka-python',
  missing: { consumer: 'it has only the classic protocol' },
  tellsCommits: true,
  readAfterMs: 0,
  program: async (membership) => ({
    ...(await pythonProgram('member', memberArguments(membership))),
    stopsBy: 'end of input',
  }),
}

function npm(source: NpmSource, script: string, missing: GroupClient['missing']): GroupClient {
  return {
    name: source.name,
    missing,
    tellsCommits: true,
    readAfterMs: 0,
    program: async (membership) => ({
      ...(await source.program(script, memberArguments(membership))),
      stopsBy: 'end of input',
    }),
  }
}

const kcat: GroupClient = {
  name: 'kcat',
  missing: { consumer: 'librdkafka has it from 2.4 on; Debian 12 ships 2.0.2' },
  tellsCommits: false,
  // Its lines carry no time.
  readAfterMs: 100,
  // librdkafka stores the offset when kcat takes the record, and commits what is stored in the background.
  commitsBeforeProcessing: true,
  async program({ bootstrap, topic, group, variant, sessionTimeoutMs, instanceId }) {
    await ensureProgram('kcat', 'kcat')
    const settings = {
      'session.timeout.ms': sessionTimeoutMs,
      'heartbeat.interval.ms': 500,
      'auto.commit.interval.ms': 200,
      'auto.offset.reset': 'earliest',
      // Longer waits between attempts would outlast the session when the broker restarts.
      'reconnect.backoff.max.ms': 500,
      // A request that a starting broker never answers is given up early enough for a test.
      'socket.timeout.ms': 10_000,
      'partition.assignment.strategy': variant === 'cooperative' ? 'cooperative-sticky' : 'range',
      ...(instanceId === null ? {} : { 'group.instance.id': instanceId }),
    }
    const options = Object.entries(settings).flatMap(([name, value]) => ['-X', `${name}=${value}`])
    // -E: it stays when its only broker goes. -u: what it has read, it has written.
    const shared = ['-b', bootstrap, ...options, '-E', '-u', '-f', '%p %o\\n']
    return {
      command: 'kcat',
      args: [...shared, '-G', group, topic],
      stopsBy: 'SIGTERM',
      parseOutput: parseRecord,
      parseErrors: parseRebalance,
    }
  },
}

function parseRecord(line: string): MemberEvent | null {
  const [partition, offset] = line.split(' ').map(Number)
  if (partition === undefined || offset === undefined) return null
  return { kind: 'process', atUs: nowUs(), partition, first: offset, last: offset }
}

/**
 * `% Group g rebalanced (memberid m): assigned: topic [0], topic [1]`, or
 * `% Group g rebalanced: incremental revoke of 1 partition(s) (memberid m, COOPERATIVE rebalance protocol): topic [0]`
 */
function parseRebalance(line: string): MemberEvent | null {
  const found = /rebalanced.*: (?:incremental )?(assign|revoke)(.*)$/.exec(line)
  if (found === null) return null
  const partitions = [...found[2]!.matchAll(/\[(\d+)\]/g)].map((match) => Number(match[1]))
  return { kind: found[1] === 'assign' ? 'assign' : 'revoke', atUs: nowUs(), partitions }
}

const streambus: GroupClient = {
  name: streambusSdk.name,
  missing: {},
  tellsCommits: true,
  readAfterMs: 0,
  program: async (membership) => ({
    // Where the others have the folder of their packages.
    ...streambusProgram('streambus-member', ['-', ...memberArguments(membership)]),
    stopsBy: 'end of input',
  }),
}

const kafkajsMembers = npm(kafkajs, 'kafkajs-member', {
  cooperative: 'it has only eager rebalancing',
  static: 'it has no setting for an instance id',
  consumer: 'it has only the classic protocol',
})

/** Members of several clients in one group: the first letters of the alphabet take turns. */
function mixed(name: string, clients: readonly GroupClient[], variants: readonly Variant[]): GroupClient {
  return {
    name,
    variants,
    missing: {},
    tellsCommits: true,
    readAfterMs: 0,
    program: (membership, member) => {
      const client = clients[(member.charCodeAt(0) - 'a'.charCodeAt(0)) % clients.length]!
      return client.program(membership, member)
    },
  }
}

export const MIXED_NAME = 'mixed groups'

export const groupClients: readonly GroupClient[] = [
  streambus,
  kcat,
  kafkajsMembers,
  npm(platformatic, 'platformatic-member', {}),
  java,
  python,
  // The assignor that all three have; kafkajs by its plug-in.
  mixed(MIXED_NAME, [streambus, java, kafkajsMembers], ['eager']),
  mixed(MIXED_NAME, [java, streambus], ['cooperative', 'consumer']),
]
