/**
 * A server that is no broker: it counts the bytes of produce requests and acknowledges each one at once. What a
 * load reaches against it is what the load itself can do on this machine. Told the topic over IPC, it tells its
 * port.
 */
import { createServer } from 'node:net'
import { encodeResponse, produce } from '@streambus/protocol'

const PRODUCE_VERSION = 11

let acknowledgement = new Uint8Array()

process.on('message', (topic: string) => {
  const parts = encodeResponse(produce, PRODUCE_VERSION, 0, {
    responses: [
      {
        name: topic,
        partitionResponses: [
          { index: 0, errorCode: 0, baseOffset: 0n, logAppendTimeMs: -1n, logStartOffset: 0n },
        ],
      },
    ],
    throttleTimeMs: 0,
  })
  acknowledgement = Buffer.concat(parts as Uint8Array[])
  process.send!({ ready: topic })
})

const server = createServer({ noDelay: true }, (socket) => {
  /** Bytes of the present request that have not come yet; the length field itself may come in pieces. */
  let awaited = 0
  let length = 0
  let lengthBytes = 0
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk) => {
    let position = 0
    let requests = 0
    while (position < chunk.byteLength) {
      if (awaited > 0) {
        const taken = Math.min(awaited, chunk.byteLength - position)
        position += taken
        awaited -= taken
        if (awaited === 0) requests++
        continue
      }
      length = length * 256 + chunk[position++]!
      if (++lengthBytes < 4) continue
      awaited = length
      length = 0
      lengthBytes = 0
    }
    if (requests === 1) socket.write(acknowledgement)
    else if (requests > 1) socket.write(Buffer.concat(Array<Uint8Array>(requests).fill(acknowledgement)))
  })
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  process.send!({ port: address !== null && typeof address === 'object' ? address.port : null })
})
process.once('disconnect', () => process.exit())
