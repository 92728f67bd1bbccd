/** The closed loop: every connection keeps a number of requests in flight and counts what is acknowledged. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

import type { ClosedLoopReport, Phases } from './jobs.ts'
import { LatencyRecorder } from './latency-recorder.ts'
import { wait } from './wait.ts'
import type { ConnectionTraffic, WireTraffic } from './wire-traffic.ts'

export interface ClosedLoopShape {
  readonly port: number
  readonly connections: number
  readonly inFlight: number
  readonly warmupMs: number
  /** Ends the measurement after this long, or earlier when `maxAcknowledgements` have come. */
  readonly measureMs: number
  readonly maxAcknowledgements: number
}

const READ_BUFFER_BYTES = 16 * 1024
const DRAIN_TIMEOUT_MS = 30_000
/** New connections in one go: more would overflow the accept queue of a busy server. */
const CONNECTS_AT_ONCE = 64

export async function runClosedLoop(
  shape: ClosedLoopShape,
  traffic: WireTraffic,
  phases: Phases,
): Promise<ClosedLoopReport> {
  const loop = new ClosedLoop(shape)
  const connections: LoadConnection[] = []
  for (let first = 0; first < shape.connections; first += CONNECTS_AT_ONCE) {
    const count = Math.min(CONNECTS_AT_ONCE, shape.connections - first)
    const opened = Array.from({ length: count }, (_, index) =>
      LoadConnection.open(shape, traffic.connection(first + index), loop),
    )
    connections.push(...(await Promise.all(opened)))
  }
  try {
    for (const connection of connections) connection.begin()
    await Promise.race([wait(shape.warmupMs), loop.failed])
    loop.beginMeasuring()
    phases.measuring()
    await Promise.race([wait(shape.measureMs), loop.full, loop.failed])
    const report = loop.endMeasuring()
    phases.measured()
    await Promise.race([loop.drained(), loop.failed, wait(DRAIN_TIMEOUT_MS)])
    if (loop.inFlight > 0) throw new Error(`${loop.inFlight} requests were never answered`)
    return report
  } finally {
    loop.stop()
    for (const connection of connections) connection.close()
  }
}

/** What all connections share: the counters, and whether to go on sending. */
class ClosedLoop {
  readonly failed: Promise<never>
  readonly full: Promise<void>
  readonly fail: (error: Error) => void
  readonly latency = new LatencyRecorder()
  sending = true
  inFlight = 0
  readonly #maxAcknowledgements: number
  readonly #becomeFull: () => void
  #measuring = false
  #startedMs = 0
  #acknowledgements = 0
  #becomeDrained: (() => void) | undefined

  constructor({ maxAcknowledgements }: ClosedLoopShape) {
    this.#maxAcknowledgements = maxAcknowledgements
    let fail: (error: Error) => void = () => {}
    this.failed = new Promise<never>((_, reject) => {
      fail = reject
    })
    this.fail = fail
    let becomeFull: () => void = () => {}
    this.full = new Promise((resolve) => {
      becomeFull = resolve
    })
    this.#becomeFull = becomeFull
  }

  beginMeasuring(): void {
    this.#measuring = true
    this.#acknowledgements = 0
    this.latency.reset()
    this.#startedMs = performance.now()
  }

  endMeasuring(): ClosedLoopReport {
    this.#measuring = false
    this.sending = false
    return {
      acknowledgements: this.#acknowledgements,
      seconds: (performance.now() - this.#startedMs) / 1000,
      latency: this.latency.summary(),
    }
  }

  acknowledged(tookMs: number): void {
    this.inFlight--
    if (this.#measuring) {
      this.#acknowledgements++
      this.latency.add(tookMs)
      if (this.#acknowledgements >= this.#maxAcknowledgements) {
        this.sending = false
        this.#becomeFull()
      }
    }
    if (this.inFlight === 0 && !this.sending) this.#becomeDrained?.()
  }

  drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#becomeDrained = resolve
      if (this.inFlight === 0) resolve()
    })
  }

  stop(): void {
    this.sending = false
  }
}

class LoadConnection {
  readonly #socket: Socket
  readonly #traffic: ConnectionTraffic
  readonly #loop: ClosedLoop
  readonly #depth: number
  /** When each request in flight was sent, oldest first: a ring of `depth` entries. */
  readonly #sentAtMs: Float64Array
  #oldest = 0
  #next = 0
  #open = 0
  #closing = false

  private constructor(socket: Socket, shape: ClosedLoopShape, traffic: ConnectionTraffic, loop: ClosedLoop) {
    this.#socket = socket
    this.#traffic = traffic
    this.#loop = loop
    this.#depth = shape.inFlight
    this.#sentAtMs = new Float64Array(shape.inFlight)
  }

  static async open(
    shape: ClosedLoopShape,
    traffic: ConnectionTraffic,
    loop: ClosedLoop,
  ): Promise<LoadConnection> {
    let onChunk = (_: Uint8Array): void => {}
    const socket = connect({
      host: '127.0.0.1',
      port: shape.port,
      onread: {
        buffer: Buffer.allocUnsafeSlow(READ_BUFFER_BYTES),
        callback(bytes, buffer) {
          onChunk((buffer as Uint8Array).subarray(0, bytes))
          return true
        },
      },
    })
    await once(socket, 'connect')
    socket.setNoDelay(true)
    const connection = new LoadConnection(socket, shape, traffic, loop)
    socket.on('error', (error) => loop.fail(error))
    socket.on('close', () => {
      if (!connection.#closing) loop.fail(new Error('the server closed a connection'))
    })
    const greeted = new Promise<void>((resolve) => {
      let awaited = traffic.greetingAnswers
      onChunk = (chunk) => {
        awaited -= traffic.receive(chunk)
        if (awaited <= 0) resolve()
      }
      if (traffic.greeting !== null) socket.write(traffic.greeting)
      if (awaited === 0) resolve()
    })
    await Promise.race([greeted, loop.failed])
    onChunk = (chunk) => connection.#receive(chunk)
    return connection
  }

  begin(): void {
    this.#fill()
  }

  close(): void {
    this.#closing = true
    this.#socket.destroy()
  }

  #fill(): void {
    const { requests } = this.#traffic
    this.#socket.cork()
    while (this.#open < this.#depth && this.#loop.sending) {
      this.#sentAtMs[(this.#oldest + this.#open) % this.#depth] = performance.now()
      this.#open++
      this.#loop.inFlight++
      this.#socket.write(requests[this.#next]!)
      this.#next = (this.#next + 1) % requests.length
    }
    this.#socket.uncork()
  }

  #receive(chunk: Uint8Array): void {
    try {
      const answers = this.#traffic.receive(chunk)
      if (answers > this.#open) throw new Error('an answer came that no request asked for')
      const nowMs = performance.now()
      for (let index = 0; index < answers; index++) {
        this.#loop.acknowledged(nowMs - this.#sentAtMs[this.#oldest]!)
        this.#oldest = (this.#oldest + 1) % this.#depth
        this.#open--
      }
      this.#fill()
    } catch (error) {
      this.#loop.fail(error as Error)
    }
  }
}
