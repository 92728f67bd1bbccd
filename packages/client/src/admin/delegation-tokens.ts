/** Tokens that stand for a user for some time, so that its credentials need not be given away (KIP-48, KIP-373). */
import {
  createDelegationToken,
  describeDelegationToken,
  expireDelegationToken,
  renewDelegationToken,
} from '@streambus/protocol'
import { brokerError, StreamBusError } from '../errors.ts'
import { wholeNumber } from '../options.ts'
import { versionFor } from '../version-for.ts'
import type { AdminOptions, AdminRequests } from './admin-requests.ts'

export interface DelegationToken {
  readonly tokenId: string
  /** Proves that one has the token: the password to log in with, in base64, and what renews and ends the token. */
  readonly hmac: Uint8Array
  /** Whom it stands for: `User:ann`. */
  readonly owner: string
  /** Who asked for it; null where the broker does not tell (before Apache Kafka 3.3). */
  readonly requester: string | null
  /** Who may renew it besides its owner. */
  readonly renewers: readonly string[]
  /** Milliseconds since the Unix epoch. */
  readonly issuedAtMs: number
  readonly expiresAtMs: number
  /** No renewal goes beyond this. */
  readonly endsAtMs: number
}

export interface CreateDelegationTokenOptions extends AdminOptions {
  /** Default: who this client is. */
  owner?: string
  /** Who may renew it besides its owner: `User:ann`. Default: nobody. */
  renewers?: readonly string[]
  /** Default: as long as the cluster allows. */
  maxLifetimeMs?: number
}

const AS_LONG_AS_ALLOWED = -1n
const AT_ONCE = -1n

export async function createToken(
  requests: AdminRequests,
  options: CreateDelegationTokenOptions,
): Promise<DelegationToken> {
  const renewers = options.renewers ?? []
  const owner = options.owner === undefined ? undefined : principalOf(options.owner)
  const asked = renewers.map(principalOf)
  const maxLifetimeMs = timeOr(AS_LONG_AS_ALLOWED, 'maxLifetimeMs', options.maxLifetimeMs)
  return await requests.onController(options, async (connection) => {
    const needed = owner === undefined ? 0 : 3
    const version = versionFor(connection, createDelegationToken, needed, 'make a token for another user')
    const answer = await connection.request(createDelegationToken, {
      renewers: asked,
      maxLifetimeMs,
      ...(version >= 3 && {
        ownerPrincipalType: owner?.principalType ?? null,
        ownerPrincipalName: owner?.principalName ?? null,
      }),
    })
    if (answer.errorCode !== 0) throw brokerError(answer.errorCode, 'Cannot create a delegation token')
    return tokenOf({
      ...answer,
      issueTimestamp: answer.issueTimestampMs,
      expiryTimestamp: answer.expiryTimestampMs,
      maxTimestamp: answer.maxTimestampMs,
      renewers: asked,
    })
  })
}

/** @returns when it expires now, in milliseconds since the Unix epoch */
export async function renewToken(
  requests: AdminRequests,
  hmac: Uint8Array,
  options: AdminOptions & { forMs?: number },
): Promise<number> {
  const renewPeriodMs = timeOr(AS_LONG_AS_ALLOWED, 'forMs', options.forMs)
  return await requests.onController(options, async (connection) => {
    const answer = await connection.request(renewDelegationToken, { hmac, renewPeriodMs })
    if (answer.errorCode !== 0) throw brokerError(answer.errorCode, 'Cannot renew the delegation token')
    return Number(answer.expiryTimestampMs)
  })
}

/** @returns when it expires now, in milliseconds since the Unix epoch */
export async function expireToken(
  requests: AdminRequests,
  hmac: Uint8Array,
  options: AdminOptions & { afterMs?: number },
): Promise<number> {
  const expiryTimePeriodMs = timeOr(AT_ONCE, 'afterMs', options.afterMs)
  return await requests.onController(options, async (connection) => {
    const answer = await connection.request(expireDelegationToken, { hmac, expiryTimePeriodMs })
    if (answer.errorCode !== 0) throw brokerError(answer.errorCode, 'Cannot end the delegation token')
    return Number(answer.expiryTimestampMs)
  })
}

export async function describeTokens(
  requests: AdminRequests,
  options: AdminOptions & { owners?: readonly string[] },
): Promise<DelegationToken[]> {
  const owners = options.owners?.map(principalOf) ?? null
  return await requests.onController(options, async (connection) => {
    const answer = await connection.request(describeDelegationToken, { owners })
    if (answer.errorCode !== 0) throw brokerError(answer.errorCode, 'Cannot describe the delegation tokens')
    return answer.tokens.map(tokenOf)
  })
}

interface Principal {
  readonly principalType: string
  readonly principalName: string
}

interface WireToken extends Principal {
  readonly tokenRequesterPrincipalType: string
  readonly tokenRequesterPrincipalName: string
  readonly issueTimestamp: bigint
  readonly expiryTimestamp: bigint
  readonly maxTimestamp: bigint
  readonly tokenId: string
  readonly hmac: Uint8Array
  readonly renewers: readonly Principal[]
}

function tokenOf(token: WireToken): DelegationToken {
  const { tokenRequesterPrincipalType: type, tokenRequesterPrincipalName: name } = token
  return {
    tokenId: token.tokenId,
    // A copy: what was decoded is a view of the frame, and would keep all of it.
    hmac: new Uint8Array(token.hmac),
    owner: shown(token),
    requester: type === '' ? null : `${type}:${name}`,
    renewers: token.renewers.map(shown),
    issuedAtMs: Number(token.issueTimestamp),
    expiresAtMs: Number(token.expiryTimestamp),
    endsAtMs: Number(token.maxTimestamp),
  }
}

function shown({ principalType, principalName }: Principal): string {
  return `${principalType}:${principalName}`
}

function timeOr(byDefault: bigint, name: string, timeMs: number | undefined): bigint {
  return timeMs === undefined ? byDefault : BigInt(wholeNumber(name, timeMs))
}

function principalOf(text: string): Principal {
  const match = /^([^:]+):(.+)$/s.exec(text)
  if (match !== null) return { principalType: match[1] as string, principalName: match[2] as string }
  throw new StreamBusError('INVALID_ARGUMENT', `'${text}' is no principal; write User:name.`)
}
