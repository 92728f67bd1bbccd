/** Opens the socket of a connection: TCP, with TLS over it where that is asked for. */
import net from 'node:net'
import tls from 'node:tls'
import { abortedError, StreamBusError } from './errors.ts'
import { type BrokerAddress, formatAddress } from './options.ts'

/**
 * What TLS needs to know beside the address, as `tls.connect` of Node takes it. Without `ca` the certificates that
 * Node trusts count.
 */
export type TlsOptions = Pick<
  tls.ConnectionOptions,
  | 'ca'
  | 'cert'
  | 'key'
  | 'pfx'
  | 'passphrase'
  | 'servername'
  | 'rejectUnauthorized'
  | 'checkServerIdentity'
  | 'minVersion'
  | 'maxVersion'
  | 'ciphers'
  | 'secureContext'
>

export interface SocketOptions {
  readonly address: BrokerAddress
  readonly tls: TlsOptions | undefined
  /** For everything together: the name, the connection, the TLS handshake. */
  readonly connectTimeoutMs: number
  readonly signal?: AbortSignal | undefined
}

/** Rejects with BROKER_UNREACHABLE, TLS_FAILED or ABORTED. */
export function openSocket(options: SocketOptions): Promise<net.Socket> {
  const { address, connectTimeoutMs, signal } = options
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(abortedError(signal))
      return
    }
    const socket = connect(options)
    const opened = socket instanceof tls.TLSSocket ? 'secureConnect' : 'connect'
    let isConnected = false
    const settle = (error?: StreamBusError) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      socket.removeListener('error', onError)
      socket.removeListener('connect', onConnect)
      socket.removeListener(opened, onOpen)
      if (error === undefined) {
        resolve(socket)
      } else {
        // A socket that fails after it was given up must not become an uncaught 'error' event.
        socket.on('error', () => {})
        socket.destroy()
        reject(error)
      }
    }
    const fail = (reason: string, cause?: unknown) => settle(failure(address, isConnected, reason, cause))
    const onConnect = () => {
      isConnected = true
    }
    const onError = (error: Error) => fail(isConnected ? tlsFailure(error) : connectFailure(error), error)
    const onOpen = () => settle()
    const onAbort = () => settle(abortedError(signal as AbortSignal))
    const timer = setTimeout(
      () => fail(`no ${isConnected ? 'answer' : 'connection'} within ${connectTimeoutMs} ms`),
      connectTimeoutMs,
    )
    socket.once('error', onError)
    socket.once('connect', onConnect)
    socket.once(opened, onOpen)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

function connect({ address: { host, port }, tls: tlsOptions }: SocketOptions): net.Socket {
  const socket = { host, port, noDelay: true, keepAlive: true }
  if (tlsOptions === undefined) return net.connect(socket)
  // An IP address is no server name (RFC 6066); certificates are checked against it all the same.
  const named = net.isIP(host) === 0 ? { servername: host } : {}
  return tls.connect({ ...named, ...tlsOptions, ...socket })
}

function failure(
  address: BrokerAddress,
  isConnected: boolean,
  reason: string,
  cause: unknown,
): StreamBusError {
  const place = formatAddress(address)
  return isConnected
    ? new StreamBusError('TLS_FAILED', `No TLS connection to ${place} (${reason}).`, { cause })
    : new StreamBusError('BROKER_UNREACHABLE', `No broker answers at ${place} (${reason}).`, { cause })
}

/** A broker that does not speak TLS takes the first bytes of the handshake for a frame too long, and closes. */
function tlsFailure(error: NodeJS.ErrnoException): string {
  const closed = error.code === 'ECONNRESET' || error.code === 'EPIPE' || error.code === 'EPROTO'
  return closed ? `${error.message}; does it listen without TLS?` : error.message
}

/** `localhost` stands for several addresses; where all fail, Node reports them together without a message. */
function connectFailure(error: Error & { code?: string; errors?: Error[] }): string {
  switch (error.code) {
    case 'ECONNREFUSED':
      return 'connection refused'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the host name is not known'
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return 'the host cannot be reached'
    default:
      return error.message || error.errors?.[0]?.message || error.code || 'the connection failed'
  }
}
