import { createServer, type Server, type Socket } from 'node:net'
import { BrokerError } from '../broker-error.ts'
import { Connection, type ConnectionServices } from './connection.ts'

export interface ListenerOptions {
  readonly host: string
  readonly port: number
  readonly maxConnections: number
  readonly connectionIdleMs: number
}

/** Connections the operating system completes before they are accepted: room for a fleet that reconnects. */
const BACKLOG = 1024
/** The sweep for idle connections runs this often per idle time: none outlives it by more than this share. */
const SWEEPS_PER_IDLE_TIME = 8
const MAX_SWEEP_INTERVAL_MS = 30_000

/**
 * The listening socket and the connections it accepted.
 *
 * The port is bound before the data folder is touched, so that a port in use changes nothing on disk.
 * Clients that connect while the store is being opened are accepted and wait for `serve`.
 */
export class Listener {
  readonly host: string
  readonly port: number
  readonly #server: Server
  readonly #options: ListenerOptions
  readonly #connections = new Set<Connection>()
  readonly #bytesMovedAtSweep = new WeakMap<Connection, number>()
  #early: Socket[] = []
  #services: ConnectionServices | undefined
  #sweep: NodeJS.Timeout | undefined
  #tick = 0
  #onAllClosed: (() => void) | undefined

  private constructor(server: Server, options: ListenerOptions) {
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('the server listens on no TCP port')
    this.#server = server
    this.#options = options
    this.host = options.host
    this.port = address.port
    server.on('error', (error) => {
      // The connections there are go on.
      this.#services?.log.error({ err: error }, 'could not accept a connection')
    })
    server.on('connection', (socket) => this.#accept(socket))
    server.on('drop', (data) => {
      const peer = `${data?.remoteAddress ?? 'unknown'}:${data?.remotePort ?? 0}`
      const reason = `there are ${options.maxConnections} connections already, the most allowed`
      this.#services?.complaints.write(peer, reason)
    })
  }

  /** Throws BrokerError PORT_IN_USE, ADDRESS_NOT_AVAILABLE or PORT_NOT_PERMITTED. */
  static async bind(options: ListenerOptions): Promise<Listener> {
    const server = createServer({ pauseOnConnect: true })
    server.maxConnections = options.maxConnections
    return await new Promise((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => reject(bindError(error, options)))
      server.listen({ host: options.host, port: options.port, backlog: BACKLOG }, () => {
        server.removeAllListeners('error')
        resolve(new Listener(server, options))
      })
    })
  }

  get connectionCount(): number {
    return this.#connections.size + this.#early.length
  }

  /** Starts to answer, also those who came before. */
  serve(services: ConnectionServices): void {
    this.#services = services
    for (const socket of this.#early) this.#open(socket, services)
    this.#early = []
    const intervalMs = Math.min(
      MAX_SWEEP_INTERVAL_MS,
      Math.ceil(this.#options.connectionIdleMs / SWEEPS_PER_IDLE_TIME),
    )
    const idleTicks = Math.ceil(this.#options.connectionIdleMs / intervalMs)
    this.#sweep = setInterval(() => this.#closeIdle(idleTicks), intervalMs)
    this.#sweep.unref()
  }

  /**
   * Stops accepting, lets every connection answer what it has received, and closes them; those that are not
   * done after `timeoutMs` are cut off.
   */
  async close(timeoutMs: number): Promise<void> {
    clearInterval(this.#sweep)
    const serverClosed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const socket of this.#early) socket.destroy()
    this.#early = []
    if (this.#connections.size > 0) {
      const allClosed = new Promise<void>((resolve) => {
        this.#onAllClosed = resolve
      })
      for (const connection of [...this.#connections]) connection.drain()
      const deadline = setTimeout(() => {
        for (const connection of [...this.#connections]) connection.close()
      }, timeoutMs)
      if (this.#connections.size > 0) await allClosed
      clearTimeout(deadline)
    }
    await serverClosed
  }

  #accept(socket: Socket): void {
    if (this.#services !== undefined) {
      this.#open(socket, this.#services)
      return
    }
    this.#early.push(socket)
    // A client that gave up before the broker was ready.
    socket.on('error', () => undefined)
  }

  #open(socket: Socket, services: ConnectionServices): void {
    if (socket.destroyed) return
    const connection = new Connection(socket, services, this.#tick, (closed) => {
      this.#connections.delete(closed)
      if (this.#connections.size === 0) this.#onAllClosed?.()
    })
    this.#connections.add(connection)
    socket.resume()
  }

  #closeIdle(idleTicks: number): void {
    this.#tick++
    for (const connection of this.#connections) {
      const { bytesMoved } = connection
      if (connection.isExecuting || this.#bytesMovedAtSweep.get(connection) !== bytesMoved) {
        this.#bytesMovedAtSweep.set(connection, bytesMoved)
        connection.lastActiveTick = this.#tick
      } else if (this.#tick - connection.lastActiveTick >= idleTicks) {
        connection.close()
      }
    }
  }
}

function bindError(error: NodeJS.ErrnoException, { host, port }: ListenerOptions): BrokerError {
  switch (error.code) {
    case 'EADDRINUSE':
      return new BrokerError(
        'PORT_IN_USE',
        `Port ${port} on ${host} is in use: choose another with --port or stop the process that listens there.`,
        { cause: error },
      )
    case 'EACCES':
      return new BrokerError(
        'PORT_NOT_PERMITTED',
        `This user may not listen on port ${port}: choose one from 1024 up with --port.`,
        { cause: error },
      )
    default:
      return new BrokerError(
        'ADDRESS_NOT_AVAILABLE',
        `Cannot listen on ${host}:${port} (${error.code ?? error.message}): give an address of this machine with --host.`,
        { cause: error },
      )
  }
}
