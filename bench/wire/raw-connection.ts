/**
 * A bare Kafka connection: requests out in order, answers in the same order, no retry and no metadata. For
 * whoever needs to see exactly what went over the wire; several requests may be in flight.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type Api, decodeResponse, encodeRequest, FrameDecoder } from '@streambus/protocol'

/** The connection broke, or was closed, with requests unanswered: their outcome is unknown. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError'
  readonly code = 'CONNECTION_LOST'
}

interface Waiting {
  readonly api: Api
  readonly version: number
  readonly correlationId: number
  readonly resolve: (body: never) => void
  readonly reject: (error: Error) => void
}

const MAX_FRAME_BYTES = 128 * 1024 * 1024

export class RawConnection {
  readonly #socket: Socket
  readonly #waiting: Waiting[] = []
  readonly #decoder = new FrameDecoder({ maxFrameBytes: MAX_FRAME_BYTES })
  #nextCorrelationId = 1
  #lost: ConnectionLostError | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk) => this.#receive(chunk))
    socket.on('error', (error) => this.#lose(error.message))
    socket.on('close', () => this.#lose('closed by the other side'))
  }

  static async open(port: number, host = '127.0.0.1'): Promise<RawConnection> {
    const socket = connect({ host, port })
    await once(socket, 'connect')
    return new RawConnection(socket)
  }

  /** Sends one request. Rejects with ConnectionLostError when the connection ends before the answer. */
  request<Req, Res, ReqInput, ResInput>(
    api: Api<Req, Res, ReqInput, ResInput>,
    version: number,
    body: NoInfer<ReqInput>,
  ): Promise<Res> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost)
    const correlationId = this.#nextCorrelationId++
    const parts = encodeRequest(api, version, { correlationId, clientId: 'streambus-bench' }, body)
    return new Promise<Res>((resolve, reject) => {
      this.#waiting.push({ api, version, correlationId, resolve, reject })
      this.#socket.cork()
      for (const part of parts) this.#socket.write(part as Uint8Array)
      this.#socket.uncork()
    })
  }

  close(): void {
    this.#lose('closed')
    this.#socket.destroy()
  }

  #receive(chunk: Uint8Array): void {
    try {
      this.#decoder.push(chunk, (frame) => {
        const waiting = this.#waiting.shift()
        if (waiting === undefined) throw new Error('an answer came that no request asked for')
        const { correlationId, body } = decodeResponse(waiting.api, waiting.version, frame)
        if (correlationId !== waiting.correlationId) {
          throw new Error(`answer ${correlationId} came where ${waiting.correlationId} was due`)
        }
        waiting.resolve(body as never)
      })
    } catch (error) {
      this.#lose((error as Error).message)
      this.#socket.destroy()
    }
  }

  #lose(reason: string): void {
    if (this.#lost !== undefined) return
    this.#lost = new ConnectionLostError(`the connection ended: ${reason}`)
    for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#lost)
  }
}
