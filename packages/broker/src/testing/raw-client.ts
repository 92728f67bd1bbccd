import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type Api, decodeResponse, encodeRequest, FrameDecoder } from '@streambus/protocol'

interface Pending {
  readonly api: Api
  readonly version: number
  readonly correlationId: number
  resolve(body: unknown): void
  reject(error: Error): void
}

/**
 * A connection that sends requests exactly as told, and checks that the responses come in the order of the
 * requests. It adds nothing: no retries, no batching, no metadata.
 */
export class RawClient {
  readonly socket: Socket
  /** Resolves when the connection is closed, by whoever. */
  readonly closed: Promise<void>
  readonly #pending: Pending[] = []
  #nextCorrelationId = 1

  private constructor(socket: Socket) {
    this.socket = socket
    const frames = new FrameDecoder({ maxFrameBytes: 2 ** 30 })
    socket.on('data', (chunk) => frames.push(chunk, (frame) => this.#receive(frame)))
    // A broken connection is told by 'close'.
    socket.on('error', () => undefined)
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        for (const { reject } of this.#pending.splice(0)) reject(new Error('the connection was closed'))
        resolve()
      })
    })
  }

  static async connect({ host, port }: { host: string; port: number }): Promise<RawClient> {
    const socket = connect(port, host)
    await once(socket, 'connect')
    socket.setNoDelay(true)
    return new RawClient(socket)
  }

  /** Sends a request and resolves with the decoded response. Rejects when the connection closes before. */
  request<Response, Input>(
    api: Api<unknown, Response, Input, unknown>,
    version: number,
    body: Input,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      if (this.socket.destroyed) throw new Error('the connection was closed')
      const correlationId = this.send(api, version, body)
      this.#pending.push({
        api,
        version,
        correlationId,
        resolve: (response) => resolve(response as Response),
        reject,
      })
    })
  }

  /** Sends a request that gets no response. */
  send<Input>(api: Api<unknown, unknown, Input, unknown>, version: number, body: Input): number {
    const correlationId = this.#nextCorrelationId++
    const parts = encodeRequest(api, version, { correlationId, clientId: 'raw-client' }, body)
    this.socket.write(Buffer.concat(parts as Uint8Array[]))
    return correlationId
  }

  sendBytes(bytes: Uint8Array): void {
    this.socket.write(bytes)
  }

  close(): void {
    this.socket.destroy()
  }

  #receive(frame: Uint8Array): void {
    const next = this.#pending.shift()
    if (next === undefined) throw new Error(`a response nobody asked for, of ${frame.byteLength} bytes`)
    const { correlationId, body } = decodeResponse(next.api, next.version, frame)
    if (correlationId !== next.correlationId) {
      throw new Error(`response ${correlationId} where ${next.correlationId} comes next`)
    }
    next.resolve(body)
  }
}
