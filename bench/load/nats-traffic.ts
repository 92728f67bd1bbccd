/** Publishing to a JetStream stream; the stream's acknowledgement comes as a message to an inbox. */
import { randomFillSync } from 'node:crypto'
import type { ProduceJob } from './jobs.ts'
import { lineReader } from './line-reader.ts'
import type { WireTraffic } from './wire-traffic.ts'

export function natsTraffic(job: ProduceJob): WireTraffic {
  const payload = randomFillSync(Buffer.allocUnsafe(job.recordBytes))
  return {
    connection(index) {
      const inbox = `_INBOX.load.${index}`
      const subject = `${job.topic}.${index % job.partitions}`
      let messages = 0
      const read = lineReader((line) => {
        if (line.startsWith('-ERR')) throw new Error(`nats: ${line}`)
        if (line.startsWith('{') && line.includes('"error"')) throw new Error(`nats: ${line}`)
        if (line.startsWith('MSG ')) messages++
        // PONG answers the greeting's PING: the subscription is then in force.
        if (line === 'PONG') messages++
      })
      return {
        greeting: Buffer.from(`CONNECT {"verbose":false,"pedantic":false}\r\nSUB ${inbox} 1\r\nPING\r\n`),
        greetingAnswers: 1,
        requests: [
          Buffer.concat([
            Buffer.from(`PUB ${subject} ${inbox} ${payload.byteLength}\r\n`),
            payload,
            Buffer.from('\r\n'),
          ]),
        ],
        receive(chunk) {
          const before = messages
          read(chunk)
          return messages - before
        },
      }
    },
  }
}
