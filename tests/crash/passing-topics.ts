/** Topics made and removed beside the load, so that kills fall into that too. */
import { createTopics, deleteTopics, errorByCode, metadata } from '@streambus/protocol'
import { RawConnection } from '../../bench/wire/raw-connection.ts'
import { wasKilled } from './killed.ts'
import type { Model } from './model.ts'

const TIMEOUT_MS = 30_000
const PARTITIONS = 3
const NULL_TOPIC_ID = 'AAAAAAAAAAAAAAAAAAAAAA'
/** Of the topics made, every second is removed again. */
const DELETE_EVERY = 2

export class PassingTopics {
  readonly #model: Model
  readonly #onFailure: (error: Error) => void
  #made = 0

  constructor(model: Model, onFailure: (error: Error) => void) {
    this.#model = model
    this.#onFailure = onFailure
  }

  /** Makes and removes topics one after the other until the connection breaks or `running` says no. */
  async run(port: number, running: () => boolean, pause: () => Promise<void>): Promise<void> {
    let connection: RawConnection | undefined
    try {
      connection = await RawConnection.open(port)
      while (running()) {
        const name = `passing-${++this.#made}`
        await this.#create(connection, name)
        if (this.#made % DELETE_EVERY === 0) await this.#delete(connection, name)
        await pause()
      }
    } catch (error) {
      if (!wasKilled(error)) this.#onFailure(error as Error)
    } finally {
      connection?.close()
    }
  }

  async #create(connection: RawConnection, name: string): Promise<void> {
    const topic: { fate: 'exists' | 'unknown-create'; id: string | null } = {
      fate: 'unknown-create',
      id: null,
    }
    this.#model.passingTopics.set(name, topic)
    const { topics } = await connection.request(createTopics, 7, {
      topics: [{ name, numPartitions: PARTITIONS, replicationFactor: 1, assignments: [], configs: [] }],
      timeoutMs: TIMEOUT_MS,
      validateOnly: false,
    })
    assertNoError(topics[0]?.errorCode, `creating ${name}`)
    this.#model.passingTopics.set(name, { fate: 'exists', id: topics[0]!.topicId })
  }

  async #delete(connection: RawConnection, name: string): Promise<void> {
    const { id } = this.#model.passingTopics.get(name)!
    this.#model.passingTopics.set(name, { fate: 'unknown-delete', id })
    const { responses } = await connection.request(deleteTopics, 6, {
      topics: [{ name, topicId: NULL_TOPIC_ID }],
      timeoutMs: TIMEOUT_MS,
    })
    assertNoError(responses[0]?.errorCode, `deleting ${name}`)
    this.#model.passingTopics.set(name, { fate: 'deleted', id })
  }
}

/** Compares the broker's topics with what it promised. What was undecided is decided by what it has now. */
export async function findTopicFaults(connection: RawConnection, model: Model): Promise<string[]> {
  const answer = await connection.request(metadata, 12, {
    topics: null,
    allowAutoTopicCreation: false,
    includeTopicAuthorizedOperations: false,
  })
  const present = new Map(answer.topics.map((topic) => [topic.name, topic]))
  const faults: string[] = []
  for (const [name, { fate, id }] of model.passingTopics) {
    const found = present.get(name)
    if (fate === 'exists' && found === undefined) faults.push(`topic ${name} was created and is gone`)
    if (fate === 'deleted' && found !== undefined) faults.push(`topic ${name} was deleted and is there again`)
    if (found !== undefined && found.partitions.length !== PARTITIONS) {
      faults.push(`topic ${name} has ${found.partitions.length} partitions, not ${PARTITIONS}`)
    }
    if (found !== undefined && id !== null && found.topicId !== id) {
      faults.push(`topic ${name} has another id than it was created with`)
    }
    model.passingTopics.set(
      name,
      found === undefined ? { fate: 'deleted', id } : { fate: 'exists', id: found.topicId },
    )
  }
  for (const name of model.lastingTopics) {
    if (!present.has(name)) faults.push(`topic ${name} is gone`)
  }
  for (const name of present.keys()) {
    if (name !== null && !model.lastingTopics.has(name) && !model.passingTopics.has(name)) {
      faults.push(`topic ${name} was never asked for`)
    }
  }
  return faults
}

function assertNoError(code: number | undefined, doing: string): void {
  if (code === 0) return
  throw new Error(`${doing}: ${code === undefined ? 'no answer' : (errorByCode(code)?.name ?? code)}`)
}
