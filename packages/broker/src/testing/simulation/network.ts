import { type Api, decodeResponse, encodeRequest, type Part } from '@streambus/protocol'
import type { RecordBytes } from '@streambus/storage'
import type { Requester } from '../../network/connection.ts'
import type { SeededRandom } from './seeded-random.ts'
import type { Trace } from './trace.ts'
import type { VirtualTime } from './virtual-time.ts'

/** What the network does to requests and responses. Changed while the simulation runs. */
export interface NetworkFaults {
  /** Chance that a request does not arrive. */
  lostRequest: number
  /** Chance that a response does not come back. */
  lostResponse: number
  /** Chance that a request arrives twice. */
  duplicate: number
  /** Chance that a message takes up to `MAX_SLOW_MS`. */
  slow: number
}

/** Where requests arrive: undefined while no broker runs. */
export type Server = () =>
  | ((frame: Uint8Array, requester: Requester) => readonly Part[] | null | Promise<readonly Part[] | null>)
  | undefined

const MAX_DELAY_MS = 5
const MAX_SLOW_MS = 3000

export interface CallOptions<Res = unknown> {
  /** After this the client gives up. Default 30 s. */
  readonly timeoutMs?: number
  /**
   * The request may arrive after later ones of this client did, as one that a broker finds in the buffer of a
   * connection that its client has given up.
   */
  readonly mayArriveLate?: boolean
  /** The client would say more if it had to ask again. */
  readonly isNeverRepeated?: boolean
  /**
   * Called when a broker begins to execute the request. What it returns is told the answer, whether it reaches
   * the client or not; null when the broker's process died.
   */
  readonly observe?: () => (response: Res | null) => void
}

interface Execution {
  readonly words: string
  readonly sinceMs: number
  readonly ended: ((response: never) => void) | undefined
}

/** Requests on their way between the clients and the broker that runs at the moment. */
export class Network {
  readonly faults: NetworkFaults = { lostRequest: 0, lostResponse: 0, duplicate: 0, slow: 0 }
  readonly trace: Trace
  /** How often each API was answered how: 'JoinGroup 27'. */
  readonly answers = new Map<string, number>()
  /** Requests that the running broker has not answered. */
  readonly unanswered = new Map<number, Execution>()
  readonly #time: VirtualTime
  readonly #random: SeededRandom
  readonly #server: Server
  #executions = 0
  readonly #waits = new Set<AbortController>()

  constructor(options: { time: VirtualTime; random: SeededRandom; trace: Trace; server: Server }) {
    this.#time = options.time
    this.#random = options.random
    this.#server = options.server
    this.trace = options.trace
  }

  delayMs(): number {
    return this.#random.next() * (this.#random.chance(this.faults.slow) ? MAX_SLOW_MS : MAX_DELAY_MS)
  }

  isLost(what: 'lostRequest' | 'lostResponse' | 'duplicate'): boolean {
    return this.#random.chance(this.faults[what])
  }

  /** Executes a request on the broker that runs now. Null when it ends without an answer. */
  async execute<Res>(
    api: Api<unknown, Res, never, unknown>,
    version: number,
    frame: Uint8Array,
    client: string,
    words: () => string,
    observe: CallOptions<Res>['observe'],
  ): Promise<Res | null> {
    const server = this.#server()
    if (server === undefined) return null
    const execution = ++this.#executions
    const text = () => `${client} → ${api.name} v${version} #${execution} ${words()}`
    this.trace.add(this.#time.elapsedMs, frame, text)
    const ended = observe?.()
    this.unanswered.set(execution, {
      words: `${client} → ${api.name} v${version} #${execution}`,
      sinceMs: this.#time.elapsedMs,
      ended,
    })
    const requester = {
      peer: `${client}:1`,
      localAddress: 'broker',
      startWaiting: () => this.#startWaiting(),
      isClosed: false,
      close: () => undefined,
    }
    const parts = await server(frame, requester)
    // The process died at the very moment: nobody hears of it.
    if (!this.unanswered.delete(execution)) return null
    if (parts === null) {
      ended?.(null)
      return null
    }
    const response = (await bytesOf(parts)).subarray(4)
    const { body } = decodeResponse(api as Api<unknown, Res, unknown, unknown>, version, response)
    this.trace.add(
      this.#time.elapsedMs,
      response,
      () => `${client} ← ${api.name} #${execution} ${inWords(body)}`,
    )
    this.#count(api.name, body)
    ended?.(body)
    return body
  }

  #count(name: string, body: unknown): void {
    for (const errorCode of errorCodesIn(body)) {
      const key = `${name} ${errorCode}`
      this.answers.set(key, (this.answers.get(key) ?? 0) + 1)
    }
  }

  /** The broker closes: what waits for something to happen is to be answered now. */
  endWaits(): void {
    for (const wait of this.#waits) wait.abort()
    this.#waits.clear()
  }

  #startWaiting(): AbortSignal {
    const wait = new AbortController()
    this.#waits.add(wait)
    return wait.signal
  }

  /** The broker's process died: its requests get no answer. */
  forgetUnanswered(): void {
    const executions = [...this.unanswered.values()]
    this.unanswered.clear()
    this.#waits.clear()
    for (const { ended } of executions) ended?.(null as never)
  }
}

/** One client's connections to the broker. */
export class Client {
  readonly id: string
  readonly #network: Network
  readonly #time: VirtualTime
  #correlationId = 0
  #lastArrivalMs = 0
  #gone = false

  constructor(id: string, network: Network, time: VirtualTime) {
    this.id = id
    this.#network = network
    this.#time = time
  }

  /** The client's process ended: nothing comes back to it any more, and what it waits for never happens. */
  kill(): void {
    this.#gone = true
  }

  async sleep(delayMs: number): Promise<void> {
    await this.#time.sleep(delayMs)
    if (this.#gone) await never()
  }

  /** The response, or null when none came in time. */
  call<Req, Res, ReqInput, ResInput>(
    api: Api<Req, Res, ReqInput, ResInput>,
    version: number,
    body: ReqInput,
    options: CallOptions<Res> = {},
  ): Promise<Res | null> {
    if (this.#gone) return never()
    const frame = this.#frame(api, version, body)
    return new Promise((resolve) => {
      const answer = (response: Res | null) => {
        if (!this.#gone) resolve(response)
      }
      const timer = this.#time.after(options.timeoutMs ?? 30_000, () => answer(null))
      const network = this.#network
      const execute = () =>
        network.execute(
          api as unknown as Api<unknown, Res, never, unknown>,
          version,
          frame,
          this.id,
          () => inWords(body),
          options.observe,
        )
      // Sent twice because the first answer did not come: it is the last one that the client gets.
      const deliver = async (times: number) => {
        const responses = await Promise.all(Array.from({ length: times }, execute))
        const response = responses.at(-1) ?? null
        if (response === null || network.isLost('lostResponse')) return
        this.#time.after(network.delayMs(), () => {
          timer.cancel()
          answer(response)
        })
      }
      if (network.isLost('lostRequest')) return
      this.#time.after(this.#arrivesInMs(options), () => {
        this.#time.background(
          deliver(options.isNeverRepeated !== true && network.isLost('duplicate') ? 2 : 1),
        )
      })
    })
  }

  /** Arrives at this moment, and is answered on the spot where the broker can. */
  callNow<Req, Res, ReqInput, ResInput>(
    api: Api<Req, Res, ReqInput, ResInput>,
    version: number,
    body: ReqInput,
  ): Promise<Res | null> {
    return this.#network.execute(
      api as unknown as Api<unknown, Res, never, unknown>,
      version,
      this.#frame(api, version, body),
      this.id,
      () => inWords(body),
      undefined,
    )
  }

  #frame<ReqInput>(api: Api<unknown, unknown, ReqInput>, version: number, body: ReqInput): Uint8Array {
    const header = { correlationId: ++this.#correlationId, clientId: this.id }
    return Buffer.concat(encodeRequest(api, version, header, body) as Uint8Array[]).subarray(4)
  }

  #arrivesInMs({ mayArriveLate = false }: { readonly mayArriveLate?: boolean }): number {
    const delayMs = this.#network.delayMs()
    if (mayArriveLate) return delayMs
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, this.#time.elapsedMs + delayMs)
    return this.#lastArrivalMs - this.#time.elapsedMs
  }
}

/** Records of a fetch are read when they are sent. */
async function bytesOf(parts: readonly Part[]): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for (const part of parts) {
    if (part instanceof Uint8Array) {
      pieces.push(part)
      continue
    }
    const records = part as RecordBytes
    const bytes = new Uint8Array(records.byteLength)
    let filled = 0
    while (filled < bytes.byteLength) filled += await records.readInto(bytes.subarray(filled))
    records.close()
    pieces.push(bytes)
  }
  return Buffer.concat(pieces)
}

function never(): Promise<never> {
  return new Promise(() => undefined)
}

/** A message in words: bytes shortened, so that a trace can be read. */
export function inWords(body: unknown): string {
  const text = JSON.stringify(body, (_key, value: unknown) => {
    if (typeof value === 'bigint') return Number(value)
    if (value instanceof Uint8Array) return `<${value.byteLength} bytes>`
    // What JSON.stringify makes of a Buffer before it asks.
    if (isBuffer(value)) return `<${value.data.length} bytes>`
    if (value === null) return undefined
    return value
  })
  return text ?? ''
}

function errorCodesIn(body: unknown, found: Set<number> = new Set()): Set<number> {
  if (Array.isArray(body)) {
    for (const each of body) errorCodesIn(each, found)
  } else if (typeof body === 'object' && body !== null && !(body instanceof Uint8Array)) {
    for (const [name, value] of Object.entries(body)) {
      if (typeof value === 'number') {
        if (name === 'errorCode' || name === 'partitionErrorCode') found.add(value)
      } else errorCodesIn(value, found)
    }
  }
  return found
}

function isBuffer(value: unknown): value is { type: 'Buffer'; data: number[] } {
  return typeof value === 'object' && value !== null && (value as { type?: unknown }).type === 'Buffer'
}
