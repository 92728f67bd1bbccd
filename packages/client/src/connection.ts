/**
 * One TCP connection to one broker.
 *
 * Requests are pipelined: they leave in the order of the calls and are answered in that order, so the answer
 * that arrives belongs to the oldest request without one. A request whose answer does not come in time
 * therefore makes the whole connection worthless: it is closed, and everything behind the missing answer
 * fails with CONNECTION_LOST.
 */
import type net from 'node:net'
import {
  type Api,
  apiVersions,
  decodeResponse,
  encodeRequest,
  FrameDecoder,
  type Part,
} from '@streambus/protocol'
import { abortedError, brokerError, isStreamBusError, StreamBusError, sentenceOf } from './errors.ts'
import { channels } from './observability/channels.ts'
import { ClientMetrics } from './observability/metrics.ts'
import { type BrokerAddress, formatAddress } from './options.ts'
import { authenticate, type SaslOptions } from './security/sasl.ts'
import { openSocket, type TlsOptions } from './socket.ts'
import { version } from './version.ts'

export interface ConnectionOptions {
  address: BrokerAddress
  clientId: string
  connectTimeoutMs: number
  requestTimeoutMs: number
  maxFrameBytes: number
  /** Requests on the wire without an answer; more wait their turn. Default 64. */
  maxInFlightRequests?: number
  tls?: TlsOptions | undefined
  sasl?: SaslOptions | undefined
  signal?: AbortSignal | undefined
  /** Where requests are counted. Default: nowhere. */
  metrics?: ClientMetrics
}

export interface RequestOptions {
  /** Default: the connection's `requestTimeoutMs`. Counts from the call, time spent waiting included. */
  timeoutMs?: number
  /** Highest version to use, where the caller relies on a field that a later one dropped. */
  maxVersion?: number
  /** Goes before those that wait, whatever they wait for. */
  ahead?: boolean
}

export interface VersionRange {
  readonly min: number
  readonly max: number
}

interface Pending {
  readonly api: Api
  readonly version: number
  readonly body: unknown
  readonly correlationId: number
  readonly resolve: (body: never) => void
  readonly reject: (error: StreamBusError) => void
  readonly startedAtMs: number
  timer: NodeJS.Timeout | undefined
  answered: boolean
}

const UNSUPPORTED_VERSION = 35
/** When the client proves again who it is: after this part of the time for which the broker believes it (KIP-368). */
const REAUTHENTICATE_AFTER = 0.8
/** Longer timers fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

export class Connection {
  readonly address: BrokerAddress
  readonly #options: ConnectionOptions
  readonly #socket: net.Socket
  readonly #decoder: FrameDecoder
  readonly #maxInFlightRequests: number
  readonly #metrics: ClientMetrics
  #versions: ReadonlyMap<number, VersionRange> = new Map([[apiVersions.key, { min: 0, max: 3 }]])
  #features: ReadonlyMap<string, number> = new Map()
  #inFlight: Pending[] = []
  /** Index of the oldest unanswered request in `#inFlight`; the array is cut when it is empty. */
  #oldest = 0
  #waiting: Pending[] = []
  #nextCorrelationId = 1
  #corked = false
  /** True while requests wait for the client to prove again who it is. */
  #held = false
  #reauthentication: NodeJS.Timeout | undefined
  #ended: StreamBusError | undefined
  readonly #onEnd = new Set<(error: StreamBusError, unanswered: number) => void>()

  /**
   * Connects, agrees on versions and says who the client is. Rejects with BROKER_UNREACHABLE, TLS_FAILED,
   * AUTHENTICATION_FAILED, PROTOCOL_ERROR or ABORTED.
   */
  static async open(options: ConnectionOptions): Promise<Connection> {
    const deadlineMs = performance.now() + options.connectTimeoutMs
    const connection = new Connection(options, await openSocket({ ...options, tls: options.tls }))
    const onAbort = () => connection.#end(abortedError(options.signal as AbortSignal))
    options.signal?.addEventListener('abort', onAbort, { once: true })
    try {
      const leftMs = () => Math.max(1, deadlineMs - performance.now())
      await connection.#negotiate(leftMs())
      if (options.sasl !== undefined) await connection.#authenticate(options.sasl, leftMs)
    } catch (error) {
      connection.close()
      throw options.tls === undefined ? mayWantTls(error, options.address) : error
    } finally {
      options.signal?.removeEventListener('abort', onAbort)
    }
    return connection
  }

  private constructor(options: ConnectionOptions, socket: net.Socket) {
    this.address = options.address
    this.#options = options
    this.#socket = socket
    this.#maxInFlightRequests = options.maxInFlightRequests ?? 64
    this.#metrics = options.metrics ?? new ClientMetrics(options.clientId)
    this.#decoder = new FrameDecoder({ maxFrameBytes: options.maxFrameBytes })
    const onFrame = (frame: Uint8Array) => this.#onFrame(frame)
    socket.on('data', (chunk: Buffer) => {
      try {
        this.#decoder.push(chunk, onFrame)
      } catch (error) {
        this.#end(this.#protocolError(error))
      }
    })
    socket.on('error', (error) => this.#end(this.#lost(sentenceOf(error), error)))
    socket.on('close', () => this.#end(this.#lost('the broker closed it')))
  }

  get isOpen(): boolean {
    return this.#ended === undefined
  }

  /** Requests on the wire or waiting for their turn. */
  get pendingRequests(): number {
    return this.#inFlight.length - this.#oldest + this.#waiting.length
  }

  /** On the wire. */
  get sentBytes(): number {
    return this.#socket.bytesWritten
  }

  get receivedBytes(): number {
    return this.#socket.bytesRead
  }

  /** What the broker offers, by API key. */
  get versions(): ReadonlyMap<number, VersionRange> {
    return this.#versions
  }

  /** The level of a feature that the whole cluster agreed on (KIP-584); 0 where there is none. */
  finalizedLevelOf(feature: string): number {
    return this.#features.get(feature) ?? 0
  }

  /** Called once, when the connection is over for whatever reason, with how many requests that left open. */
  onEnd(listener: (error: StreamBusError, unanswered: number) => void): void {
    if (this.#ended !== undefined) listener(this.#ended, 0)
    else this.#onEnd.add(listener)
  }

  /** The highest version both sides know, or undefined. */
  versionOf(api: Api, maxVersion = Number.POSITIVE_INFINITY): number | undefined {
    const theirs = this.#versions.get(api.key)
    if (theirs === undefined) return undefined
    const version = Math.min(theirs.max, api.request.maxVersion, maxVersion)
    return version >= Math.max(theirs.min, api.request.minVersion) ? version : undefined
  }

  /**
   * Sends a request and resolves with the decoded answer, error codes included. Rejects with REQUEST_TIMEOUT,
   * CONNECTION_LOST, UNSUPPORTED_API, PROTOCOL_ERROR or CLOSED.
   */
  request<Res, Input>(
    api: Api<unknown, Res, Input>,
    body: Input,
    options: RequestOptions = {},
  ): Promise<Res> {
    if (!channels.request.hasSubscribers) return this.#request(api, body, options)
    const { host, port } = this.address
    const { clientId } = this.#options
    return channels.request.tracePromise(() => this.#request(api, body, options), {
      clientId,
      api: api.name,
      host,
      port,
    })
  }

  #request<Res, Input>(api: Api<unknown, Res, Input>, body: Input, options: RequestOptions): Promise<Res> {
    return new Promise<Res>((resolve, reject) => {
      const version = this.#versionOrError(api, options.maxVersion)
      if (version instanceof StreamBusError) {
        reject(version)
        return
      }
      const pending: Pending = {
        api,
        version,
        body,
        correlationId: this.#nextCorrelationId,
        resolve: resolve as (body: never) => void,
        reject,
        startedAtMs: performance.now(),
        timer: undefined,
        answered: false,
      }
      this.#nextCorrelationId = (this.#nextCorrelationId + 1) & 0x7fffffff
      pending.timer = setTimeout(
        (timeoutMs: number) => this.#onTimeout(pending, timeoutMs),
        options.timeoutMs ?? this.#options.requestTimeoutMs,
        options.timeoutMs ?? this.#options.requestTimeoutMs,
      )
      if (options.ahead === true || (this.#hasRoom && this.#waiting.length === 0)) this.#transmit(pending)
      else this.#waiting.push(pending)
    })
  }

  /** Sends a request that has no answer (Produce with acks=0). Resolves when the kernel took the bytes. */
  post<Input>(
    api: Api<unknown, unknown, Input>,
    body: Input,
    options: { maxVersion?: number } = {},
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const version = this.#versionOrError(api, options.maxVersion)
      if (version instanceof StreamBusError) {
        reject(version)
        return
      }
      const correlationId = this.#nextCorrelationId
      this.#nextCorrelationId = (correlationId + 1) & 0x7fffffff
      const parts = encodeRequest(api, version, { correlationId, clientId: this.#options.clientId }, body)
      this.#write(parts, (error) => {
        if (error) reject(this.#lost(error.message, error))
        else resolve()
      })
    })
  }

  /** Closes at once; requests without an answer fail with CLOSED. */
  close(): void {
    this.#end(new StreamBusError('CLOSED', `The connection to ${formatAddress(this.address)} was closed.`))
  }

  get #hasRoom(): boolean {
    return !this.#held && this.#inFlight.length - this.#oldest < this.#maxInFlightRequests
  }

  #versionOrError(api: Api, maxVersion: number | undefined): number | StreamBusError {
    if (this.#ended !== undefined) return this.#ended
    const version = this.versionOf(api, maxVersion)
    if (version !== undefined) return version
    const theirs = this.#versions.get(api.key)
    const offered =
      theirs === undefined ? 'does not offer it' : `offers versions ${theirs.min} to ${theirs.max}`
    return new StreamBusError(
      'UNSUPPORTED_API',
      `${formatAddress(this.address)} cannot serve ${api.name}: it ${offered}, this client knows ${api.request.minVersion} to ${api.request.maxVersion}.`,
    )
  }

  /**
   * KIP-511: an ApiVersions request newer than the broker knows is answered in version 0 with error 35 and the
   * range the broker has, and the connection stays usable.
   */
  async #negotiate(timeoutMs: number): Promise<void> {
    const body = { clientSoftwareName: 'streambus', clientSoftwareVersion: version }
    let answer = await this.request(apiVersions, body, { timeoutMs })
    if (answer.errorCode === UNSUPPORTED_VERSION) {
      const offered = answer.apiKeys.find(({ apiKey }) => apiKey === apiVersions.key)
      answer = await this.request(apiVersions, body, { timeoutMs, maxVersion: offered?.maxVersion ?? 0 })
    }
    if (answer.errorCode !== 0) {
      throw brokerError(answer.errorCode, `${formatAddress(this.address)} refuses to name its versions`)
    }
    this.#versions = new Map(
      answer.apiKeys.map(({ apiKey, minVersion, maxVersion }) => [
        apiKey,
        { min: minVersion, max: maxVersion },
      ]),
    )
    this.#features = new Map(
      answer.finalizedFeatures.map(({ name, maxVersionLevel }) => [name, maxVersionLevel]),
    )
  }

  /** Other requests wait meanwhile: to a broker they would be part of the exchange. */
  async #authenticate(sasl: SaslOptions, leftMs: () => number): Promise<void> {
    this.#held = true
    const lifetimeMs = await authenticate(
      {
        peer: formatAddress(this.address),
        request: (api, body) => this.request(api, body, { timeoutMs: leftMs(), ahead: true }),
      },
      sasl,
    )
    this.#held = false
    this.#transmitWaiting()
    if (lifetimeMs <= 0) return
    this.#reauthentication = setTimeout(
      () => this.#authenticateAgain(sasl),
      Math.min(lifetimeMs * REAUTHENTICATE_AFTER, MAX_TIMER_MS),
    )
    this.#reauthentication.unref()
  }

  /** The broker would close the connection when the time is over; where it does not believe us any more, so do we. */
  #authenticateAgain(sasl: SaslOptions): void {
    const { requestTimeoutMs } = this.#options
    this.#authenticate(sasl, () => requestTimeoutMs).catch((error: unknown) =>
      this.#end(isStreamBusError(error) ? error : this.#lost(sentenceOf(error), error)),
    )
  }

  #transmitWaiting(): void {
    while (this.#hasRoom && this.#waiting.length > 0) this.#transmit(this.#waiting.shift() as Pending)
  }

  #transmit(pending: Pending): void {
    const header = { correlationId: pending.correlationId, clientId: this.#options.clientId }
    let parts: Part[]
    try {
      parts = encodeRequest(pending.api, pending.version, header, pending.body)
    } catch (error) {
      clearTimeout(pending.timer)
      const message = `${pending.api.name} cannot be encoded: ${sentenceOf(error)}`
      pending.reject(new StreamBusError('INVALID_ARGUMENT', message, { cause: error }))
      return
    }
    this.#inFlight.push(pending)
    this.#write(parts)
  }

  /** Everything written in one turn of the event loop leaves in one system call. */
  #write(parts: readonly Part[], onWritten?: (error?: Error | null) => void): void {
    if (!this.#corked) {
      this.#corked = true
      this.#socket.cork()
      process.nextTick(() => {
        this.#corked = false
        this.#socket.uncork()
      })
    }
    const last = parts.length - 1
    for (let index = 0; index <= last; index++) {
      const part = parts[index]
      if (!(part instanceof Uint8Array)) throw new TypeError('a client request holds only bytes of its own')
      this.#socket.write(part, index === last ? onWritten : undefined)
    }
  }

  #onFrame(frame: Uint8Array): void {
    const pending = this.#inFlight[this.#oldest]
    if (pending === undefined) {
      this.#end(this.#protocolError(new Error('an answer came without a request')))
      return
    }
    let answer: { correlationId: number; body: unknown }
    try {
      answer = decodeResponse(pending.api, answerVersion(pending, frame), frame)
    } catch (error) {
      this.#end(this.#protocolError(error))
      return
    }
    if (answer.correlationId !== pending.correlationId) {
      this.#end(
        this.#protocolError(
          new Error(`answer ${answer.correlationId} came where ${pending.correlationId} was due`),
        ),
      )
      return
    }
    this.#oldest++
    if (this.#oldest === this.#inFlight.length) {
      this.#inFlight = []
      this.#oldest = 0
    } else if (this.#oldest >= 256) {
      this.#inFlight = this.#inFlight.slice(this.#oldest)
      this.#oldest = 0
    }
    clearTimeout(pending.timer)
    pending.answered = true
    this.#metrics.answered(pending.api.name, performance.now() - pending.startedAtMs)
    pending.resolve(answer.body as never)
    this.#transmitWaiting()
  }

  #onTimeout(pending: Pending, timeoutMs: number): void {
    const error = new StreamBusError(
      'REQUEST_TIMEOUT',
      `${formatAddress(this.address)} did not answer ${pending.api.name} within ${Math.round(timeoutMs)} ms.`,
    )
    this.#metrics.unanswered(pending.api.name)
    const waitingAt = this.#waiting.indexOf(pending)
    if (waitingAt >= 0) {
      this.#waiting.splice(waitingAt, 1)
      pending.reject(error)
      return
    }
    pending.answered = true
    pending.reject(error)
    this.#end(this.#lost(`it did not answer ${pending.api.name} within ${Math.round(timeoutMs)} ms`, error))
  }

  #lost(reason: string, cause?: unknown): StreamBusError {
    return new StreamBusError(
      'CONNECTION_LOST',
      `The connection to ${formatAddress(this.address)} was lost: ${reason}.`,
      { cause },
    )
  }

  #protocolError(cause: unknown): StreamBusError {
    return new StreamBusError(
      'PROTOCOL_ERROR',
      `${formatAddress(this.address)} does not speak the Kafka protocol as expected: ${sentenceOf(cause)}.`,
      { cause },
    )
  }

  #end(error: StreamBusError): void {
    if (this.#ended !== undefined) return
    this.#ended = error
    clearTimeout(this.#reauthentication)
    this.#socket.destroy()
    const unanswered = [...this.#inFlight.slice(this.#oldest), ...this.#waiting]
    this.#inFlight = []
    this.#oldest = 0
    this.#waiting = []
    for (const pending of unanswered) {
      clearTimeout(pending.timer)
      if (pending.answered) continue
      // What the client itself gave up did not fail.
      if (error.code !== 'CLOSED' && error.code !== 'ABORTED') this.#metrics.unanswered(pending.api.name)
      pending.reject(error)
    }
    for (const listener of this.#onEnd) listener(error, unanswered.length)
    this.#onEnd.clear()
  }
}

/** An ApiVersions answer that refuses the version is written in version 0, whatever was asked (KIP-511). */
function answerVersion(pending: Pending, frame: Uint8Array): number {
  if (pending.api.key !== apiVersions.key || frame.byteLength < 6) return pending.version
  const errorCode = ((frame[4] as number) << 8) | (frame[5] as number)
  return errorCode === UNSUPPORTED_VERSION ? 0 : pending.version
}

/** A broker that expects TLS closes, or answers with an alert, when it is spoken to without. */
function mayWantTls(error: unknown, address: BrokerAddress): unknown {
  if (!isStreamBusError(error) || (error.code !== 'CONNECTION_LOST' && error.code !== 'PROTOCOL_ERROR')) {
    return error
  }
  const said = error.message.replace(/\.$/, '')
  return new StreamBusError(error.code, `${said}; does ${formatAddress(address)} want TLS?`, {
    cause: error,
    retriable: error.retriable,
  })
}
