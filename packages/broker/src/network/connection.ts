import type { Socket } from 'node:net'
import { FrameDecoder, type Part, ProtocolError } from '@streambus/protocol'
import type { Logger } from '../logger.ts'
import { foreignProtocol } from './foreign-protocol.ts'
import type { FrameMemory } from './frame-memory.ts'
import type { PeerComplaints } from './peer-complaints.ts'
import type { RequestMemory, RequestMemoryHolder } from './request-memory.ts'
import type { ResponsePieces } from './response-pieces.ts'
import { ResponseWriter } from './response-writer.ts'
import type { TurnEnd } from './turn-end.ts'
import type { ResponseHolder, UnsentResponses } from './unsent-responses.ts'

/** The parts of an encoded response, or null where the request wants none. */
export type EncodedResponse = readonly Part[] | null

/** What a connection hands its requests to. */
export interface RequestExecutor {
  /**
   * Whether the request may be executed while earlier ones like it are still being executed. Everything else
   * waits until all earlier requests are answered, and holds back all later ones.
   */
  mayOverlap(frame: Uint8Array): boolean
  /** Throws or rejects with ConnectionRefusal to have the connection closed with its message. */
  execute(frame: Uint8Array, requester: Requester): EncodedResponse | Promise<EncodedResponse>
}

/** A request that is answered by closing the connection, because the protocol has no other answer. */
export class ConnectionRefusal extends Error {
  override readonly name = 'ConnectionRefusal'
}

/** What a handler may know of, and ask from, the connection its request came on. */
export interface Requester {
  /** Address of the client, for people: 'host:port'. */
  readonly peer: string
  /** The address of this machine that the client connected to. */
  readonly localAddress: string
  /**
   * Announces that the request will wait for something to happen. Returns a signal that ends the wait when
   * the connection or the broker closes; undefined when it must not wait and should be answered now.
   */
  startWaiting(): AbortSignal | undefined
  /** True when there is nobody any more to answer to. */
  readonly isClosed: boolean
  /** Ends the connection at once; what was asked on it is not answered. */
  close(): void
}

/** What all connections of a broker share. */
export interface ConnectionServices {
  readonly executor: RequestExecutor
  readonly memory: RequestMemory
  readonly frameMemory: FrameMemory
  readonly pieces: ResponsePieces
  readonly unsent: UnsentResponses
  readonly turnEnd: TurnEnd
  readonly complaints: PeerComplaints
  readonly log: Logger
  readonly maxFrameBytes: number
}

/** Requests of one connection in execution at once. Clients keep 5 to 100 in flight. */
const MAX_OVERLAPPING_REQUESTS = 128

/** How long a client has to close its end of a connection that the broker has ended. */
const LINGER_MS = 500

/** Why a socket is not read. */
const PAUSED_FOR_QUEUE = 1
const PAUSED_FOR_MEMORY = 2
const PAUSED_FOR_DRAIN = 4

/** A request in execution, or one that is ready but whose response waits for those before it. */
interface Execution {
  readonly frame: Uint8Array
  /** Frame and length prefix: what was counted when the bytes arrived. */
  readonly frameBytes: number
  response: EncodedResponse | undefined
  parked: boolean
}

/**
 * One client's connection: bytes become frames, frames become executions, and responses leave in the order
 * of the requests. While complete requests wait for their turn nothing more is read, so what a client can
 * make the broker hold is what one read of its socket delivers, plus one request that has not ended yet.
 */
export class Connection implements Requester, RequestMemoryHolder, ResponseHolder {
  readonly peer: string
  readonly localAddress: string
  /** Set by the listener's sweep: its tick when bytes last moved. */
  lastActiveTick: number
  readonly #socket: Socket
  readonly #services: ConnectionServices
  readonly #frames: FrameDecoder
  readonly #writer: ResponseWriter
  readonly #onClosed: (connection: Connection) => void
  /** Complete requests not yet started. */
  #queue: Uint8Array[] = []
  #queueHead = 0
  /** In request order. */
  readonly #executions: Execution[] = []
  #exclusiveExecution: Execution | undefined
  #waiting: AbortController | undefined
  #pauseReasons = 0
  #heldBytes = 0
  #bytesMoved = 0
  #framesSeen = 0
  #pumping = false
  #draining = false
  /** Runs from the broker's end of the connection to the client's. */
  #lingering: NodeJS.Timeout | undefined
  #closed = false

  constructor(
    socket: Socket,
    services: ConnectionServices,
    tick: number,
    onClosed: (connection: Connection) => void,
  ) {
    this.#socket = socket
    this.#services = services
    this.#onClosed = onClosed
    this.lastActiveTick = tick
    this.peer = `${socket.remoteAddress ?? 'unknown'}:${socket.remotePort ?? 0}`
    this.localAddress = (socket.localAddress ?? '127.0.0.1').replace(/^::ffff:/, '')
    this.#frames = new FrameDecoder({
      maxFrameBytes: services.maxFrameBytes,
      memory: services.frameMemory,
    })
    this.#writer = new ResponseWriter(
      socket,
      services.pieces,
      services.turnEnd,
      services.unsent,
      this,
      () => this.#pump(),
      (error) => this.#fail(error, 'could not send a response'),
    )
    services.memory.add(this)
    socket.setNoDelay(true)
    socket.setKeepAlive(true, 60_000)
    socket.on('data', (chunk) => this.#onData(chunk))
    socket.on('end', () => this.#onEnd())
    // A reset or broken pipe: the client is gone, which 'close' deals with.
    socket.on('error', () => undefined)
    socket.on('close', () => this.#onClose())
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  /** Changes whenever bytes move in either direction. */
  get bytesMoved(): number {
    return this.#bytesMoved + this.#socket.bytesWritten
  }

  /** True while the client waits for the broker, not the broker for the client. */
  get isExecuting(): boolean {
    return this.#executions.length > 0
  }

  get isClosed(): boolean {
    return this.#closed
  }

  startWaiting(): AbortSignal | undefined {
    const execution = this.#exclusiveExecution
    if (execution === undefined || this.#closed || this.#draining) return undefined
    if (!execution.parked) {
      if (!this.#services.memory.park(execution.frameBytes)) return undefined
      execution.parked = true
      this.#heldBytes -= execution.frameBytes
    }
    this.#waiting ??= new AbortController()
    return this.#waiting.signal
  }

  /** Answers what has been received, then closes. */
  drain(): void {
    if (this.#draining || this.#closed) return
    this.#draining = true
    this.#pauseFor(PAUSED_FOR_DRAIN)
    this.#waiting?.abort()
    this.#closeIfDrained()
  }

  close(): void {
    this.#socket.destroy()
    this.#onClose()
  }

  /** Closes with a log line about what the peer did. */
  closeBecause(reason: string): void {
    if (this.#closed) return
    this.#services.complaints.write(this.peer, reason)
    this.close()
  }

  pauseForMemory(): void {
    this.#pauseFor(PAUSED_FOR_MEMORY)
  }

  resumeForMemory(): void {
    this.#resumeFrom(PAUSED_FOR_MEMORY)
  }

  closeForMemory(): void {
    this.closeBecause(
      `memory for requests is full and it held the most, ${this.#heldBytes} bytes of unanswered requests`,
    )
  }

  resumeForResponses(): void {
    this.#pump()
  }

  closeForUnreadResponse(unsentBytes: number): void {
    this.closeBecause(
      `memory for responses is full and it has stopped reading, with ${unsentBytes} bytes of a response to take`,
    )
  }

  #onData(chunk: Buffer): void {
    if (this.#closed || this.#lingering !== undefined) return
    const { memory } = this.#services
    this.#bytesMoved += chunk.byteLength
    this.#heldBytes += chunk.byteLength
    memory.take(chunk.byteLength)
    try {
      this.#frames.push(chunk, this.#onFrame)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      const foreign = this.#framesSeen === 0 ? foreignProtocol(chunk) : undefined
      this.closeBecause(foreign ?? `it sent a ${error.message}`)
      return
    }
    this.#pump()
    memory.stopIfFull(this)
  }

  readonly #onFrame = (frame: Uint8Array): void => {
    this.#framesSeen++
    this.#queue.push(frame)
    this.#services.memory.frameArrived(this)
  }

  /** Starts what may be started now. */
  #pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    while (this.#queueHead < this.#queue.length && !this.#closed && this.#mayStartNext()) {
      const frame = this.#queue[this.#queueHead]!
      this.#queueHead++
      this.#start(frame)
    }
    this.#pumping = false
    if (this.#queueHead === this.#queue.length) {
      if (this.#queueHead > 0) {
        this.#queue = []
        this.#queueHead = 0
      }
      this.#resumeFrom(PAUSED_FOR_QUEUE)
    } else {
      this.#pauseFor(PAUSED_FOR_QUEUE)
    }
    if (this.#draining) this.#closeIfDrained()
  }

  #mayStartNext(): boolean {
    if (this.#exclusiveExecution !== undefined || this.#writer.isCongested) return false
    const { executor, unsent } = this.#services
    if (executor.mayOverlap(this.#queue[this.#queueHead]!)) {
      return this.#executions.length < MAX_OVERLAPPING_REQUESTS
    }
    // What may not overlap can have a large answer.
    return this.#executions.length === 0 && unsent.mayStart(this)
  }

  #start(frame: Uint8Array): void {
    const { executor, memory } = this.#services
    const execution: Execution = {
      frame,
      frameBytes: frame.byteLength + 4,
      response: undefined,
      parked: false,
    }
    if (!executor.mayOverlap(frame)) this.#exclusiveExecution = execution
    this.#executions.push(execution)
    memory.executionStarted()
    let response: EncodedResponse | Promise<EncodedResponse>
    try {
      response = executor.execute(frame, this)
    } catch (error) {
      this.#fail(error, 'could not answer a request')
      return
    }
    if (!(response instanceof Promise)) {
      this.#finish(execution, response)
      return
    }
    response.then(
      (parts) => this.#finish(execution, parts),
      (error: unknown) => this.#fail(error, 'could not answer a request'),
    )
  }

  #finish(execution: Execution, response: EncodedResponse): void {
    if (this.#closed) {
      // Nobody will read it, but what it would have read from storage has to be given back.
      if (response !== null) this.#writer.add(response)
      return
    }
    execution.response = response
    while (this.#executions.length > 0 && this.#executions[0]!.response !== undefined) {
      const done = this.#executions.shift()!
      if (done === this.#exclusiveExecution) {
        this.#exclusiveExecution = undefined
        this.#waiting = undefined
      }
      this.#release(done)
      // Handlers keep nothing of a request once they have answered it.
      this.#services.frameMemory.giveBack(done.frame)
      if (done.response) this.#writer.add(done.response)
    }
    this.#pump()
  }

  #release(execution: Execution): void {
    const { memory } = this.#services
    if (execution.parked) {
      memory.unpark(execution.frameBytes)
    } else {
      this.#heldBytes -= execution.frameBytes
      memory.executionEnded()
      memory.release(execution.frameBytes)
    }
  }

  #fail(error: unknown, what: string): void {
    if (this.#closed) return
    if (error instanceof ConnectionRefusal) {
      this.closeBecause(error.message)
      return
    }
    this.#services.complaints.fault(this.peer, error, what)
    this.close()
  }

  #onEnd(): void {
    if (this.#closed || this.#lingering !== undefined) return
    const { bufferedBytes } = this.#frames
    if (bufferedBytes > 0) {
      this.closeBecause(`it ended in the middle of a request, after ${bufferedBytes} bytes of it`)
    }
  }

  #onClose(): void {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#lingering)
    this.#waiting?.abort()
    this.#writer.close()
    const { memory } = this.#services
    for (const execution of this.#executions) this.#release(execution)
    this.#executions.length = 0
    memory.release(this.#heldBytes)
    this.#heldBytes = 0
    this.#queue = []
    this.#queueHead = 0
    memory.remove(this)
    this.#services.unsent.remove(this)
    this.#onClosed(this)
  }

  #closeIfDrained(): void {
    if (this.#executions.length > 0 || this.#queueHead < this.#queue.length) return
    if (this.#closed || this.#socket.writableEnded) return
    if (!this.#writer.isIdle) return
    // What was written leaves first, then the client sees the end. A socket that is destroyed with requests in it that
    // nobody has read is reset, and takes answers along that the client has yet to read: so what it still sends is
    // read and dropped until it has seen the end.
    this.#socket.end()
    this.#socket.resume()
    this.#lingering = setTimeout(() => this.#socket.destroy(), LINGER_MS)
  }

  #pauseFor(reason: number): void {
    if (this.#pauseReasons === 0) this.#socket.pause()
    this.#pauseReasons |= reason
  }

  #resumeFrom(reason: number): void {
    if (this.#pauseReasons === 0) return
    this.#pauseReasons &= ~reason
    if (this.#pauseReasons === 0) this.#socket.resume()
  }
}
