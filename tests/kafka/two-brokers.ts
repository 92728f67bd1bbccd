/** A cluster of two brokers, for what one alone cannot show: the first is the controller, too. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { type RunningKafka, startKafka } from '../../peers/kafka.ts'
import { freePorts } from '../../peers/server-process.ts'

export interface TwoBrokers {
  readonly bootstrap: string
  readonly second: RunningKafka
  [Symbol.asyncDispose](): Promise<void>
}

const MAX_HEAP_MIB = 256

export async function startTwoBrokers(): Promise<TwoBrokers> {
  const dataDir = await mkdtemp(`${tmpdir()}/streambus-kafka-two-`)
  const [one, two, controller] = (await freePorts(3)) as [number, number, number]
  const node = (id: number, port: number, properties: Record<string, string>) =>
    startKafka({
      dataDir: `${dataDir}/${id}`,
      port,
      maxHeapMiB: MAX_HEAP_MIB,
      properties: {
        'node.id': String(id),
        'controller.quorum.voters': `1@127.0.0.1:${controller}`,
        'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
        'group.initial.rebalance.delay.ms': '0',
        ...properties,
      },
    })
  const first = await node(1, one, {
    listeners: `PLAINTEXT://127.0.0.1:${one},CONTROLLER://127.0.0.1:${controller}`,
  })
  try {
    const second = await node(2, two, {
      'process.roles': 'broker',
      listeners: `PLAINTEXT://127.0.0.1:${two}`,
    })
    return {
      bootstrap: first.bootstrap,
      second,
      [Symbol.asyncDispose]: async () => {
        try {
          // The controller last: a broker tells it that it goes.
          await second.stop()
        } finally {
          await first.stop()
          await rm(dataDir, { recursive: true, force: true })
        }
      },
    }
  } catch (error) {
    await first.stop()
    await rm(dataDir, { recursive: true, force: true })
    throw error
  }
}
