import net from 'node:net'
import tls from 'node:tls'
import { type BrokerUnderTest, startBroker } from './test-bus.ts'

/** A broker behind TLS: what comes in is decrypted and passed on. */
export class TlsBroker {
  readonly #server: tls.Server
  readonly #sockets = new Set<net.Socket>()
  broker!: BrokerUnderTest

  static async start(options: tls.TlsOptions): Promise<TlsBroker> {
    const started = new TlsBroker(options)
    await new Promise<void>((resolve) => started.#server.listen(0, '127.0.0.1', resolve))
    started.broker = await startBroker({ advertise: { host: 'localhost', port: started.port } })
    return started
  }

  private constructor(options: tls.TlsOptions) {
    this.#server = tls.createServer(options, (client) => {
      const inner = net.connect(this.broker.port, '127.0.0.1')
      for (const socket of [client, inner]) {
        this.#sockets.add(socket)
        socket.on('error', () => socket.destroy())
      }
      client.pipe(inner).pipe(client)
      client.on('close', () => inner.destroy())
      inner.on('close', () => client.destroy())
    })
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await this.broker.close()
  }
}
