/** Asks a broker strange things, and checks how it answers: always, on the same connection, and without a fault. */
import { expect } from 'vitest'
import type { RawClient } from '../../packages/broker/src/testing/raw-client.ts'
import type { Api } from '../../packages/protocol/src/index.ts'
import type { AttackedBroker } from './attacked-broker.ts'
import { SeededRandom } from './seeded-random.ts'
import { type Known, StrangeRequests } from './strange-requests.ts'

export interface StrangeQuestions {
  readonly requests: number
  /** With the first and the last version. */
  readonly apis: readonly (readonly [api: Api, minVersion: number, maxVersion: number])[]
  readonly known: Known
  readonly seed?: number
}

/** Members may have to wait for others. Then somebody else goes on, on a connection of its own. */
const PATIENCE_MS = 100

export async function askStrangely(
  broker: AttackedBroker,
  { requests, apis, known, seed = 20_261_123 }: StrangeQuestions,
): Promise<void> {
  const random = new SeededRandom(seed)
  const strange = new StrangeRequests(random, known)
  let client: RawClient = await broker.connect()
  for (let asked = 0; asked < requests; asked++) {
    const [api, minVersion, maxVersion] = apis[random.below(apis.length)]!
    const version = minVersion + random.below(maxVersion - minVersion + 1)
    const body = strange.body(api, version)
    const answering = client.request<unknown, unknown>(api, version, body).catch((error: unknown) => {
      const shown = JSON.stringify(body, (_, value) => (typeof value === 'bigint' ? `${value}n` : value))
      throw new Error(`${api.name} version ${version}: ${shown.slice(0, 1000)}`, { cause: error })
    })
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<'waits'>((resolve) => {
      timer = setTimeout(() => resolve('waits'), PATIENCE_MS)
    })
    const answer = await Promise.race([answering, patience])
    clearTimeout(timer)
    if (answer === 'waits') {
      answering.catch(() => undefined)
      client.close()
      client = await broker.connect()
    } else {
      strange.learn(answer)
    }
  }
  client.close()
  expect(
    broker.log.filter(({ level, msg }) => level === 'error' || /closed the connection/.test(msg)),
  ).toEqual([])
}
