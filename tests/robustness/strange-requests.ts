/**
 * Requests to coordinators of which any field may be wrong: well formed, and made of what exists, what never did,
 * what is over, and what is as large or as small as it can be.
 */
import {
  type Api,
  encodeConsumerAssignment,
  encodeConsumerSubscription,
} from '../../packages/protocol/src/index.ts'
import { type Field, type Fields, fieldInVersion } from '../../packages/protocol/src/schema.ts'
import type { SeededRandom } from './seeded-random.ts'

/** What the requests tell of beside strange things: names of the test's, and what answers have told. */
export interface Known {
  readonly groupIds: readonly string[]
  readonly topics: readonly { readonly name: string; readonly topicId: string }[]
  readonly transactionalIds: readonly string[]
  readonly memberIds: string[]
  readonly producerIds: bigint[]
}

const NO_ID = 'AAAAAAAAAAAAAAAAAAAAAA'
const LONGEST = 'x'.repeat(0x7fff)
const LAST_INT64 = 2n ** 63n - 1n
const STRANGE_INT64 = [-LAST_INT64 - 1n, -2n, -1n, 0n, 1n, 2n ** 53n, LAST_INT64]
const STRANGE_INT32 = [-(2 ** 31), -2, -1, 0, 1, 2, 7, 100, 2 ** 31 - 1]
const STRANGE_INT16 = [-(2 ** 15), -1, 0, 1, 2, 2 ** 15 - 2, 2 ** 15 - 1]
const STRANGE_NAMES = ['', 'stranger', 'a/b', '.', '__consumer_offsets', '__transaction_state', LONGEST]
/** Short, so that a test does not wait for members that never come back. */
const TIMEOUTS_MS = [-1, 0, 20, 50, 6000, 2 ** 31 - 1]
/** Members and transactions that are told of again are the newest. */
const REMEMBERED = 8

export class StrangeRequests {
  readonly #random: SeededRandom
  readonly #known: Known

  constructor(random: SeededRandom, known: Known) {
    this.#random = random
    this.#known = known
  }

  body(api: Api, version: number): Record<string, unknown> {
    return this.#struct(api.request.fields, version)
  }

  /** Takes in what an answer tells, so that later requests can be right in some ways and wrong in others. */
  learn(answer: unknown): void {
    const { memberId, producerId } = answer as { memberId?: string; producerId?: bigint }
    const { memberIds, producerIds } = this.#known
    if (typeof memberId === 'string' && memberId !== '') memberIds.push(memberId)
    if (typeof producerId === 'bigint' && producerId >= 0n) producerIds.push(producerId)
    for (const list of [memberIds, producerIds]) if (list.length > REMEMBERED) list.shift()
  }

  #struct(fields: Fields, version: number): Record<string, unknown> {
    const topic = this.#pick([...this.#known.topics, { name: 'missing', topicId: NO_ID }])
    const struct: Record<string, unknown> = {}
    for (const [name, field] of Object.entries(fields)) {
      const { present, nullable } = fieldInVersion(field, version)
      if (!present) continue
      if (nullable && this.#oneIn(3)) struct[name] = null
      else if (name === 'topicId' || (name === 'name' && this.#oneIn(2))) struct[name] = topic[name]
      else struct[name] = this.#value(name, field, version)
    }
    return struct
  }

  #value(name: string, field: Field, version: number): unknown {
    switch (field.type) {
      case 'bool':
        return this.#oneIn(2)
      case 'int8':
        return this.#pick([0, 1, 2, -1])
      case 'int16':
        return this.#pick(STRANGE_INT16)
      case 'int32':
        if (/timeout/i.test(name)) return this.#pick(TIMEOUTS_MS)
        return this.#pick(
          /epoch|generation|partition/i.test(name) ? [0, 0, 1, ...STRANGE_INT32] : STRANGE_INT32,
        )
      case 'int64':
        return this.#pick(
          /producerId/i.test(name) ? [...STRANGE_INT64, ...this.#known.producerIds] : STRANGE_INT64,
        )
      case 'string':
        return this.#pick(this.#names(name))
      case 'bytes':
        return this.#bytes()
      case 'array':
        return Array.from({ length: this.#random.below(4) }, () => this.#value(name, field.element!, version))
      case 'struct':
        return this.#struct(field.fields!, version)
      default:
        return NO_ID
    }
  }

  #names(field: string): readonly string[] {
    const { groupIds, memberIds, transactionalIds } = this.#known
    if (/instance/i.test(field)) return ['one', 'two', '', LONGEST]
    if (/member/i.test(field)) return [...memberIds, '', 'stranger', LONGEST]
    if (/transactional/i.test(field))
      return [...transactionalIds, ...transactionalIds, '', 'stranger', LONGEST]
    if (/group|key/i.test(field)) return [...groupIds, ...groupIds, '', 'stranger', LONGEST]
    if (/protocol|assignor/i.test(field)) return ['consumer', 'consumer', 'range', 'uniform', '', LONGEST]
    if (/regex|pattern/i.test(field)) return ['.*', '(', '(a+)+$', '', LONGEST]
    if (/metadata/i.test(field)) return ['', 'm'.repeat(4096), 'm'.repeat(4097), LONGEST]
    return ['range', 'range', ...STRANGE_NAMES]
  }

  /** What members say and are assigned, and what nobody understands. */
  #bytes(): Uint8Array {
    const topic = this.#pick(['missing', ...this.#known.topics.map(({ name }) => name)])
    switch (this.#random.below(4)) {
      case 0:
        return this.#random.bytes(this.#random.below(40))
      case 1: {
        const partitions = [this.#pick(STRANGE_INT32)]
        return encodeConsumerAssignment(0, { assignedPartitions: [{ topic, partitions }] })
      }
      default:
        return encodeConsumerSubscription(this.#random.below(4), { topics: [topic] })
    }
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#random.below(from.length)]!
  }

  #oneIn(count: number): boolean {
    return this.#random.below(count) === 0
  }
}
