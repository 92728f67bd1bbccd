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
  /** Who logs in with it, without a prefix. */
  readonly user: string
  /** Each user has a credential for each mechanism. */
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
      // Empty, as null, means all; to null Kafka gives no answer where it does not allow the question.
      users: users?.map((name) => ({ name })) ?? [],
    })
    if (answer.errorCode !== 0) {
      throw brokerError(answer.errorCode, 'Cannot describe the users', answer.errorMessage)
    }
    return answer.results.filter(({ errorCode }) => errorCode !== ErrorCode.RESOURCE_NOT_FOUND)
  })
  const outcomes = results.map(({ user, errorCode, errorMessage, credentialInfos }): Outcome<ScramUser> => {
    if (errorCode !== 0) return brokerError(errorCode, `Cannot describe user '${user}'`, errorMessage)
    const credentials = mechanismNames.flatMap((mechanism) =>
      credentialInfos
        .filter(({ mechanism: code }) => code === mechanisms[mechanism].code)
        .map(({ iterations }) => ({ mechanism, iterations })),
    )
    return { user, credentials }
  })
  const described = allSucceeded(
    results.map(({ user }) => user),
    outcomes,
  )
  return described.sort((a, b) => (a.user < b.user ? -1 : 1))
}

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
    const outcomes = new Map<string, Outcome<undefined>>()
    for (const round of rounds(open)) {
      const { results } = await connection.request(alterUserScramCredentials, {
        deletions: round
          .filter(({ password }) => password === null)
          .map(({ user, mechanism }) => ({ name: user, mechanism: mechanisms[mechanism].code })),
        upsertions: round.flatMap((change) => upsertions.get(change) ?? []),
      })
      for (const { user, errorCode, errorMessage } of results) {
        const change = round.find((one) => one.user === user)
        if (change === undefined) continue
        const key = inWords(change)
        outcomes.set(
          key,
          errorCode === 0 ? undefined : brokerError(errorCode, `Cannot change the ${key}`, errorMessage),
        )
      }
    }
    return outcomes
  })
  return await requests.each<ScramCredentialChange, undefined>(changes, inWords, options, attempt)
}

/** A request may name a user once, whatever the mechanism. */
function rounds(changes: readonly ScramCredentialChange[]): ScramCredentialChange[][] {
  const inTurn: ScramCredentialChange[][] = []
  for (const change of changes) {
    const round = inTurn.find((others) => others.every(({ user }) => user !== change.user))
    if (round === undefined) inTurn.push([change])
    else round.push(change)
  }
  return inTurn
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
