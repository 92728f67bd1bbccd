import net from 'node:net'
import {
  type Api,
  apiByKey,
  apiVersions,
  decodeConsumerSubscription,
  decodeRequest,
  decodeRequestHeader,
  decodeResponse,
  encodeConsumerSubscription,
  encodeRequest,
  encodeResponse,
  FrameDecoder,
  metadata,
  type Part,
  ProtocolError,
  produce,
} from '@streambus/protocol'

/** Fields that hold a name of a topic, a group or a transactional id, or a list of such. */
const nameFields = new Set([
  ...['topic', 'topicName', 'topicNames', 'subscribedTopicNames'],
  ...['groupId', 'groupIds', 'groupsNames'],
  ...['transactionalId', 'transactionalIds', 'v3AndBelowTransactionalId'],
  ...['key', 'coordinatorKeys'],
])
/** Lists whose elements have the name of a topic as their `name`, which elsewhere is that of something else. */
const topicLists = new Set([
  ...['topics', 'topicData', 'responses', 'results'],
  ...['v3AndBelowTopics', 'resultsByTopic', 'resultsByTopicV3AndBelow'],
])
/** What a member of a classic group subscribes to, which Kafka looks into where an offset is to be deleted. */
const subscriptionFields = new Set(['metadata', 'memberMetadata'])
const messageFields = new Set(['errorMessage', 'batchIndexErrorMessage'])
/** Types of resources that have configurations, and whose names are those of topics and groups. */
const namedResources = new Set([2, 32])
/** As Kafka has it. What comes without being Kafka's protocol, such as TLS, is above it. */
const MAX_FRAME_BYTES = 100 * 1024 * 1024

interface Address {
  readonly host: string
  readonly port: number
}

export interface NamespaceOptions {
  /** What clients connect to, where something else stands before this; itself unless given. */
  readonly advertise?: Address
  /** False: topics are not created by being asked for, as if the broker were set so. */
  readonly autoCreateTopics?: boolean
}

/**
 * Gives a test a Kafka of its own out of one that many tests share: a proxy which puts a prefix before every name
 * of a topic, group and transactional id on its way in, takes it off on the way out, leaves out of lists what has
 * another, and says that it is the broker. Internal topics keep their names.
 *
 * Nothing else of a request may change on the way, or Kafka would not see what the client writes: each is encoded
 * again as it was first, and is refused, which breaks the connection, unless that gives the very bytes that came.
 */
export class KafkaNamespace {
  readonly host = '127.0.0.1'
  readonly #server: net.Server
  readonly #kafka: Address
  readonly #prefix: string
  readonly #options: NamespaceOptions
  readonly #sockets = new Set<net.Socket>()
  readonly #failures: unknown[] = []

  /** `kafka`: `host:port` */
  static async open(kafka: string, prefix: string, options: NamespaceOptions = {}): Promise<KafkaNamespace> {
    const [host, port] = kafka.split(':') as [string, string]
    const namespace = new KafkaNamespace({ host, port: Number(port) }, prefix, options)
    await new Promise<void>((resolve) => namespace.#server.listen(0, namespace.host, resolve))
    return namespace
  }

  private constructor(kafka: Address, prefix: string, options: NamespaceOptions) {
    this.#kafka = kafka
    this.#prefix = prefix
    this.#options = options
    this.#server = net.createServer({ noDelay: true }, (client) => this.#accept(client))
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port
  }

  get address(): string {
    return `${this.host}:${this.port}`
  }

  /** Rejects if a frame could not be passed on as it was. */
  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
    if (this.#failures.length > 0) throw this.#failures[0]
  }

  #accept(client: net.Socket): void {
    const kafka = net.connect({ ...this.#kafka, noDelay: true })
    /** Requests whose answers are to come, in their order. */
    const asked: { api: Api | undefined; version: number }[] = []
    const relay = (from: net.Socket, to: net.Socket, pass: (frame: Uint8Array) => readonly Part[]) => {
      const frames = new FrameDecoder({ maxFrameBytes: MAX_FRAME_BYTES })
      this.#sockets.add(from)
      from.on('data', (chunk) => {
        let hasRoom = true
        try {
          frames.push(chunk, (frame) => {
            for (const part of pass(frame)) hasRoom = to.write(part as Uint8Array)
          })
        } catch (error) {
          if (!isTooLarge(error)) this.#failures.push(error)
          from.destroy()
        }
        if (hasRoom || to.destroyed) return
        from.pause()
        to.once('drain', () => from.resume())
      })
      from.on('error', () => to.destroy())
      from.on('close', () => {
        to.destroy()
        this.#sockets.delete(from)
      })
    }
    relay(client, kafka, (frame) => {
      const { header, bodyOffset } = decodeRequestHeader(frame)
      const api = apiByKey(header.apiKey)
      const version = header.apiVersion
      if (!isRewritten(api)) {
        asked.push({ api, version })
        return raw(frame)
      }
      const body = decodeRequest(api, version, frame, bodyOffset) as { acks?: number }
      if (api.key !== produce.key || body.acks !== 0) asked.push({ api, version })
      const same = Buffer.concat(encodeRequest(api, version, header, body) as Uint8Array[]).subarray(4)
      if (!same.equals(frame)) throw new Error(`${api.name} v${version} changes by being read and written`)
      return encodeRequest(api, version, header, this.#inwards(api, body))
    })
    relay(kafka, client, (frame) => {
      const { api, version } = asked.shift()!
      if (!isRewritten(api)) return raw(frame)
      const { correlationId, body } = decodeResponse(api, version, frame)
      return encodeResponse(api, version, correlationId, this.#outwards(body))
    })
  }

  #inwards(api: Api, body: unknown): unknown {
    const add = (name: string) => (name === '' || isInternal(name) ? name : this.#prefix + name)
    const named = renamed(body, {
      name: add,
      message: (message) => message,
      pattern: (pattern) => (pattern === '' ? '' : `${this.#prefix}(?:${pattern})`),
      address: (address) => address,
    })
    if (api.key !== metadata.key || this.#options.autoCreateTopics !== false) return named
    return { ...(named as object), allowAutoTopicCreation: false }
  }

  #outwards(body: unknown): unknown {
    const advertise = this.#options.advertise ?? { host: this.host, port: this.port }
    return renamed(body, {
      name: (name) => {
        if (name === '' || isInternal(name)) return name
        return name.startsWith(this.#prefix) ? name.slice(this.#prefix.length) : foreign
      },
      message: (message) => message.replaceAll(this.#prefix, ''),
      pattern: (pattern) => pattern,
      address: ({ host, port }) => (port > 0 ? advertise : { host, port }),
    })
  }
}

/** What another namespace has. */
const foreign = Symbol('foreign')

interface Renaming {
  name(name: string): string | typeof foreign
  message(message: string): string
  /** A regular expression that names have to match from begin to end. */
  pattern(pattern: string): string
  address(address: Address): Address
}

/** A copy with other names. Elements of lists that have a foreign name are left out. */
function renamed(value: unknown, renaming: Renaming, field = ''): unknown {
  if (Array.isArray(value)) {
    const elements = value.map((element) => {
      return typeof element === 'string' && (nameFields.has(field) || field === 'groups')
        ? renaming.name(element)
        : renamed(element, renaming, field)
    })
    return elements.filter((element) => element !== foreign)
  }
  if (value instanceof Uint8Array) {
    return subscriptionFields.has(field) && value.length > 0 ? renamedSubscription(value, renaming) : value
  }
  if (typeof value !== 'object' || value === null) return value
  const copy: Record<string, unknown> = {}
  for (const [key, one] of Object.entries(value)) {
    if (typeof one !== 'string') {
      copy[key] = renamed(one, renaming, key)
      continue
    }
    const holdsName =
      nameFields.has(key) ||
      (key === 'name' && topicLists.has(field)) ||
      (key === 'resourceName' && namedResources.has((value as { resourceType: number }).resourceType))
    const other =
      key === 'transactionalIdPattern'
        ? renaming.pattern(one)
        : holdsName
          ? renaming.name(one)
          : messageFields.has(key)
            ? renaming.message(one)
            : one
    if (other === foreign) return foreign
    copy[key] = other
  }
  const { host, port } = copy as Partial<Address>
  if (host !== undefined && port !== undefined) Object.assign(copy, renaming.address({ host, port }))
  return copy
}

function renamedSubscription(bytes: Uint8Array, renaming: Renaming): Uint8Array {
  const { topics, ...rest } = decodeConsumerSubscription(bytes)
  const subscription = renamed({ ...rest, topicNames: topics }, renaming) as typeof rest & {
    topicNames: string[]
  }
  const version = Buffer.from(bytes).readInt16BE()
  return encodeConsumerSubscription(version, { ...subscription, topics: subscription.topicNames })
}

const isInternal = (name: string) => name.startsWith('__')

/** ApiVersions has no names in it, and may be answered in another version than it was asked. */
function isRewritten(api: Api | undefined): api is Api {
  return api !== undefined && api.key !== apiVersions.key
}

function isTooLarge(error: unknown): boolean {
  return error instanceof ProtocolError && error.code === 'FRAME_TOO_LARGE'
}

function raw(frame: Uint8Array): Uint8Array[] {
  const length = Buffer.alloc(4)
  length.writeInt32BE(frame.length)
  return [length, frame]
}
