/** Users that log in with SCRAM: which there are, their passwords set and taken away (KIP-554). */
import { randomBytes } from 'node:crypto'
import { alterUserScramCredentials, describeUserScramCredentials, ErrorCode } from '@streambus/protocol'
import { brokerError, StreamBusError } from '../errors.ts'
import { type ScramHash, saltedPassword } from '../security/scram.ts'
import { type AdminOptions, type AdminRequests, allSucceeded, type Outcome } from './admin-requests.ts'

export type ScramMechanism = 'scram-sha-256' | 'scram-sha-512'

export interface ScramUser {
  readonly user: string
  readonly credentials: readonly { readonly mechanism: ScramMechanism; readonly iterations: number }[]
}

export interface ScramCredentialChange {
  readonly user: string
  readonly mechanism: ScramMechanism
  /** Leaves this process salted and hashed only. Null takes the credential away. */
  readonly password: string | null
  /** How often it is hashed: what slows down who guesses, and every login. 4,096 to 16,384 with Kafka. Default 4,096. */
  readonly iterations?: number
}

const mechanisms: Readonly<Record<ScramMechanism, { readonly code: number; readonly hash: ScramHash }>> = {
  'scram-sha-256': { code: 1, hash: 'sha256' },
  'scram-sha-512': { code: 2, hash: 'sha512' },
}
const mechanismNames = Object.keys(mechanisms) as ScramMechanism[]
const DEFAULT_ITERATIONS = 4096
const SALT_BYTES = 32

/** Sorted by name; users that have no credential are left out. */
export async function describeUsers(
  requests: AdminRequests,
  { users, ...options }: AdminOptions & { users?: readonly string[] | undefined },
): Promise<ScramUser[]> {
  if (users?.length === 0) return []
  const results = await requests.onController(options, async (connection) => {
    const answer = await connection.request(describeUserScramCredentials, {
      users: users?.map((name) => ({ name })) ?? null,
    })
    if (answer.errorCode !== 0) {
      throw brokerError(answer.errorCode, 'Cannot describe the users', answer.errorMessage)
    }
    return answer.results.filter(({ errorCode }) => errorCode !== ErrorCode.RESOURCE_NOT_FOUND)
  })
  const outcomes = results.map(({ user, errorCode, errorMessage, credentialInfos }): Outcome<ScramUser> => {
    if (errorCode !== 0) return brokerError(errorCode, `Cannot describe user '${user}'`, errorMessage)
    const credentials = credentialInfos.flatMap(({ mechanism: code, iterations }) => {
      const mechanism = mechanismNames.find((name) => mechanisms[name].code === code)
      return mechanism === undefined ? [] : [{ mechanism, iterations }]
    })
    return { user, credentials }
  })
  const described = allSucceeded(
    results.map(({ user }) => user),
    outcomes,
  )
  return described.sort((a, b) => (a.user < b.user ? -1 : 1))
}

/** Brokers answer by user: what one of the changes of a user fails for, all of them do. */
export async function alterEachCredential(
  requests: AdminRequests,
  changes: readonly ScramCredentialChange[],
  options: AdminOptions,
): Promise<Outcome<undefined>[]> {
  for (const change of changes) check(change)
  const upsertions = new Map<ScramCredentialChange, Awaited<ReturnType<typeof salted>>>()
  for (const change of changes) {
    if (change.password !== null) upsertions.set(change, await salted(change, change.password))
  }
  const attempt = requests.controllerAttempts(async (connection, open: readonly ScramCredentialChange[]) => {
    const { results } = await connection.request(alterUserScramCredentials, {
      deletions: open
        .filter(({ password }) => password === null)
        .map(({ user, mechanism }) => ({ name: user, mechanism: mechanisms[mechanism].code })),
      upsertions: open.flatMap((change) => upsertions.get(change) ?? []),
    })
    const byUser = new Map<string, Outcome<undefined>>(
      results.map(({ user, errorCode, errorMessage }) => [
        user,
        errorCode === 0
          ? undefined
          : brokerError(errorCode, `Cannot change the credentials of user '${user}'`, errorMessage),
      ]),
    )
    return new Map(
      open.filter(({ user }) => byUser.has(user)).map((change) => [inWords(change), byUser.get(change.user)]),
    )
  })
  return await requests.each<ScramCredentialChange, undefined>(changes, inWords, options, attempt)
}

function check({ user, mechanism, password, iterations = DEFAULT_ITERATIONS }: ScramCredentialChange): void {
  const fail = (message: string): never => {
    throw new StreamBusError('INVALID_ARGUMENT', message)
  }
  if (mechanisms[mechanism] === undefined) {
    fail(`The mechanism of user '${user}' is ${mechanismNames.join(' or ')}, not ${String(mechanism)}.`)
  }
  if (password === '') fail(`The password of user '${user}' is empty.`)
  if (!Number.isInteger(iterations) || iterations < 1) {
    fail(`The iterations for user '${user}' are a whole number above 0, not ${iterations}.`)
  }
}

async function salted(
  { user, mechanism, iterations = DEFAULT_ITERATIONS }: ScramCredentialChange,
  password: string,
) {
  const { code, hash } = mechanisms[mechanism]
  const salt = randomBytes(SALT_BYTES)
  return {
    name: user,
    mechanism: code,
    iterations,
    salt,
    saltedPassword: await saltedPassword(hash, password, salt, iterations),
  }
}

function inWords({ user, mechanism }: ScramCredentialChange): string {
  return `${mechanism} credential of user '${user}'`
}
