/** XADD of one field to a stream; one stream per partition. */
import { randomFillSync } from 'node:crypto'
import type { ProduceJob } from './jobs.ts'
import { lineReader } from './line-reader.ts'
import type { WireTraffic } from './wire-traffic.ts'

export function redisTraffic(job: ProduceJob): WireTraffic {
  const value = randomFillSync(Buffer.allocUnsafe(job.recordBytes))
  return {
    connection(index) {
      const stream = `${job.topic}-${index % job.partitions}`
      const words = ['XADD', stream, '*', 'v', value]
      const pieces = [Buffer.from(`*${words.length}\r\n`)]
      for (const word of words) {
        const bytes = Buffer.from(word as string)
        pieces.push(Buffer.from(`$${bytes.byteLength}\r\n`), bytes, Buffer.from('\r\n'))
      }
      // An answer is two lines: the length of the entry's id, then the id.
      let lines = 0
      const read = lineReader((line) => {
        if (line.startsWith('-')) throw new Error(`redis: ${line}`)
        lines++
      })
      return {
        greeting: null,
        greetingAnswers: 0,
        requests: [Buffer.concat(pieces)],
        receive(chunk) {
          const before = lines >> 1
          read(chunk)
          return (lines >> 1) - before
        },
      }
    },
  }
}
