/** Who the client is, for brokers that ask (SASL): the options, and the exchange of each mechanism. */
import { type Api, saslAuthenticate, saslHandshake } from '@streambus/protocol'
import { StreamBusError, sentenceOf } from '../errors.ts'
import { checkOptions, saslNames } from '../known-options.ts'
import { ScramClient, type ScramHash } from './scram.ts'

export interface PasswordCredentials {
  /** `plain` (RFC 4616) sends the password as it is; with SCRAM (RFC 5802, RFC 7677) it never leaves this process. */
  mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
  /** The user, as the broker knows it. */
  username: string
  /** The password of that user. */
  password: string
  /** With SCRAM only: these are the id of a delegation token and its hmac in base64 (KIP-48). Default false. */
  delegationToken?: boolean
}

export interface TokenCredentials {
  /** RFC 7628: a token of an authority that the broker trusts. */
  mechanism: 'oauthbearer'
  /** Called for each connection, and again before its session ends. Returns a token, or one with SASL extensions. */
  token: () => BearerToken | Promise<BearerToken>
}

export type BearerToken =
  | string
  | { readonly value: string; readonly extensions?: Readonly<Record<string, string>> }

/** `plain` sends the password as it is: use it over TLS only. */
export type SaslOptions = PasswordCredentials | TokenCredentials

const hashes: Readonly<Record<string, ScramHash>> = { 'scram-sha-256': 'sha256', 'scram-sha-512': 'sha512' }
const mechanisms = ['plain', 'scram-sha-256', 'scram-sha-512', 'oauthbearer']
const UNSUPPORTED_SASL_MECHANISM = 33
/** Ends the exchange after the server has told why it refuses a token (RFC 7628, section 3.2.3). */
const ABANDON = Buffer.from([1])

export interface SaslConversation {
  /** `host:port`, for error messages. */
  readonly peer: string
  request<Res, Input>(api: Api<unknown, Res, Input>, body: Input): Promise<Res>
}

/** Throws INVALID_ARGUMENT where the options cannot be meant. */
export function checkSaslOptions(options: SaslOptions): void {
  const fail = (message: string): never => {
    throw new StreamBusError('INVALID_ARGUMENT', message)
  }
  checkOptions('sasl', options, saslNames)
  if (!mechanisms.includes(options.mechanism)) {
    fail(`sasl.mechanism can be ${mechanisms.join(', ')}, and is ${String(options.mechanism)}.`)
  }
  if (options.mechanism === 'oauthbearer') {
    if (typeof options.token !== 'function') fail('sasl.token must be a function that returns a token.')
  } else if (typeof options.username !== 'string' || typeof options.password !== 'string') {
    fail('sasl.username and sasl.password must be strings.')
  } else if (options.delegationToken === true && options.mechanism === 'plain') {
    fail('sasl.delegationToken needs scram-sha-256 or scram-sha-512.')
  }
}

/**
 * Proves to the broker who the client is. Resolves with how long it believes so, in milliseconds; 0 is for ever
 * (KIP-368). Rejects with AUTHENTICATION_FAILED.
 */
export async function authenticate(conversation: SaslConversation, options: SaslOptions): Promise<number> {
  const { peer } = conversation
  const mechanism = options.mechanism.toUpperCase()
  const handshake = await conversation.request(saslHandshake, { mechanism })
  if (handshake.errorCode !== 0) {
    const reason =
      handshake.errorCode === UNSUPPORTED_SASL_MECHANISM
        ? `it offers ${handshake.mechanisms.join(', ') || 'none'}, not ${mechanism}`
        : `error ${handshake.errorCode} in the handshake`
    throw refusal(peer, reason)
  }
  let sessionLifetimeMs = 0
  const send = async (authBytes: Uint8Array): Promise<Uint8Array> => {
    const answer = await conversation.request(saslAuthenticate, { authBytes })
    if (answer.errorCode !== 0) throw refusal(peer, answer.errorMessage ?? `error ${answer.errorCode}`)
    sessionLifetimeMs = Number(answer.sessionLifetimeMs)
    return answer.authBytes
  }
  if (options.mechanism === 'oauthbearer') await sendToken(send, options, peer)
  else if (options.mechanism === 'plain') await send(plainMessage(options))
  else await exchangeScram(send, options, peer)
  return sessionLifetimeMs
}

type Send = (authBytes: Uint8Array) => Promise<Uint8Array>

/** RFC 4616, without an identity to act for. */
function plainMessage({ username, password }: PasswordCredentials): Buffer {
  return Buffer.from(`\0${username}\0${password}`)
}

async function exchangeScram(send: Send, options: PasswordCredentials, peer: string): Promise<void> {
  const { mechanism, username, password, delegationToken = false } = options
  const client = new ScramClient(hashes[mechanism]!, username, password, { delegationToken })
  const serverFirst = await send(client.first())
  const final = await checked(peer, () => client.final(serverFirst))
  const serverFinal = await send(final)
  await checked(peer, async () => client.verify(serverFinal))
}

/** RFC 7628. */
async function sendToken(send: Send, { token }: TokenCredentials, peer: string): Promise<void> {
  const given = await checked(peer, async () => await token())
  const { value, extensions = {} } = typeof given === 'string' ? { value: given } : given
  const pairs = Object.entries({ auth: `Bearer ${value}`, ...extensions }).map(
    ([key, text]) => `${key}=${text}\x01`,
  )
  const challenge = await send(Buffer.from(`n,,\x01${pairs.join('')}\x01`))
  if (challenge.byteLength === 0) return
  const reason = Buffer.from(challenge).toString()
  await send(ABANDON).catch(() => undefined)
  throw refusal(peer, `the token was refused: ${reason}`)
}

async function checked<T>(peer: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (error) {
    throw refusal(peer, sentenceOf(error), error)
  }
}

function refusal(peer: string, reason: string, cause?: unknown): StreamBusError {
  const message = `${peer} does not accept the credentials: ${reason.replace(/\.$/, '')}.`
  return new StreamBusError('AUTHENTICATION_FAILED', message, { cause })
}
