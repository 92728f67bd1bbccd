import net from 'node:net'

/**
 * A TCP proxy that stands between a client and a broker and fails on demand, as networks do: it cuts
 * connections, holds bytes back, loses them, and refuses connections.
 */
export class FlakyProxy {
  readonly host = '127.0.0.1'
  #server: net.Server
  #target: { host: string; port: number } | undefined
  #pairs = new Set<{ client: net.Socket; broker: net.Socket }>()
  /** `towards` a side: bytes for it are passed on, or held, or lost. */
  #towards = { client: 'pass', broker: 'pass' } as Record<'client' | 'broker', 'pass' | 'hold' | 'lose'>
  /** What goes on with what is held. */
  #releases: Record<'client' | 'broker', (() => void)[]> = { client: [], broker: [] }
  #refusing = false
  #alterFirstAnswer: ((frame: Uint8Array) => Uint8Array) | undefined
  connections = 0

  static async listen(): Promise<FlakyProxy> {
    const proxy = new FlakyProxy()
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve))
    return proxy
  }

  private constructor() {
    this.#server = net.createServer((client) => this.#accept(client))
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port
  }

  get address(): string {
    return `${this.host}:${this.port}`
  }

  forwardTo(host: string, port: number): void {
    this.#target = { host, port }
  }

  /** Ends every connection without a farewell, or those that are chosen. */
  cut(isChosen: () => boolean = () => true): void {
    for (const pair of this.#pairs) {
      if (!isChosen()) continue
      pair.client.resetAndDestroy()
      pair.broker.resetAndDestroy()
      this.#pairs.delete(pair)
    }
  }

  /** Passes the first answer of each connection, in which the broker says what it can do, through this. */
  alterFirstAnswer(alter: (frame: Uint8Array) => Uint8Array): void {
    this.#alterFirstAnswer = alter
  }

  /** While true, new connections are cut at once. */
  set refusing(refusing: boolean) {
    this.#refusing = refusing
  }

  /** Bytes for that side vanish until `passTowards`. */
  loseTowards(side: 'client' | 'broker'): void {
    this.#towards[side] = 'lose'
  }

  /** Bytes for that side go nowhere until `passTowards`, and then go on. */
  holdTowards(side: 'client' | 'broker'): void {
    this.#towards[side] = 'hold'
  }

  passTowards(side: 'client' | 'broker'): void {
    this.#towards[side] = 'pass'
    for (const release of this.#releases[side].splice(0)) release()
  }

  async close(): Promise<void> {
    this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #accept(client: net.Socket): void {
    const target = this.#target
    if (this.#refusing || target === undefined) {
      client.resetAndDestroy()
      return
    }
    this.connections++
    const broker = net.connect(target)
    const pair = { client, broker }
    this.#pairs.add(pair)
    const relay = (from: net.Socket, to: net.Socket, side: 'client' | 'broker') => {
      const alter = side === 'client' ? firstFrameAltered(this.#alterFirstAnswer) : undefined
      from.on('data', (received) => {
        const chunk = alter === undefined ? received : alter(received)
        if (this.#towards[side] === 'hold') {
          from.pause()
          this.#releases[side].push(() => {
            if (!to.destroyed) to.write(chunk)
            from.resume()
          })
          return
        }
        if (this.#towards[side] === 'pass' && !to.destroyed && !to.write(chunk)) {
          from.pause()
          to.once('drain', () => from.resume())
        }
      })
      from.on('error', () => to.destroy())
      from.on('close', () => {
        to.destroy()
        this.#pairs.delete(pair)
      })
    }
    relay(client, broker, 'broker')
    relay(broker, client, 'client')
  }
}

/** A function of the chunks of a connection: holds them back until the first frame is whole, and alters that. */
function firstFrameAltered(
  alter: ((frame: Uint8Array) => Uint8Array) | undefined,
): ((chunk: Buffer) => Buffer) | undefined {
  if (alter === undefined) return undefined
  let held: Buffer | undefined = Buffer.alloc(0)
  return (chunk) => {
    if (held === undefined) return chunk
    held = Buffer.concat([held, chunk])
    if (held.length < 4 || held.length < 4 + held.readInt32BE()) return Buffer.alloc(0)
    const end = 4 + held.readInt32BE()
    const altered = alter(held.subarray(4, end))
    const length = Buffer.alloc(4)
    length.writeInt32BE(altered.length)
    const passed = Buffer.concat([length, altered, held.subarray(end)])
    held = undefined
    return passed
  }
}
