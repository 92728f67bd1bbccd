/** Asks whether a Kafka broker answers, with no client in between. */
import { connect } from 'node:net'

/** ApiVersions v0 with correlation id 1 and the client id "probe": the request every broker answers first. */
const apiVersionsRequest = Buffer.from('0000000f001200000000000100057072' + '6f6265', 'hex')

/** True when the broker answers an ApiVersions request on a new connection within `timeoutMs`. */
export function answersKafka(host: string, port: number, timeoutMs = 1_000): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    const answer = (answers: boolean): void => {
      resolve(answers)
      socket.destroy()
    }
    socket.setTimeout(timeoutMs, () => answer(false))
    socket.once('error', () => answer(false))
    socket.once('close', () => answer(false))
    socket.once('connect', () => socket.write(apiVersionsRequest))
    socket.once('data', () => answer(true))
  })
}
