import { randomInt } from 'node:crypto'
import { ErrorCode, type FetchRequest } from '@streambus/protocol'
import { MAX_NAME_LENGTH } from '../topics/topic-name.ts'

/**
 * Incremental fetch sessions (KIP-227): a consumer of many partitions names them once, then sends only what
 * changes and is answered only what changed.
 *
 * Sessions are kept in memory and bounded in number and in partitions; the one unused for longest makes room.
 * Its consumer is answered FETCH_SESSION_ID_NOT_FOUND and starts another, which costs it one full request. A name
 * longer than any topic's could be a hundred times as large as what is counted for its partition: whoever asks
 * for one is answered without a session.
 */

/** What a fetch wants of one partition. */
export interface WantedPartition {
  /** The topic's name before version 13, its id from then on. */
  readonly topic: string
  readonly partition: number
  fetchOffset: number
  maxBytes: number
  currentLeaderEpoch: number
}

/** What was answered last for a partition of a session; -1 before the first answer and after an error. */
interface SessionPartition extends WantedPartition {
  sentHighWatermark: number
  sentLogStartOffset: number
}

/**
 * What an answer says of a partition, as far as it decides whether the partition is in the answer. The last stable
 * offset is not there: it moves only when the high watermark or the start does, since a marker takes an offset.
 */
export interface PartitionNews {
  readonly errorCode: number
  readonly recordBytes: number
  readonly highWatermark: number
  readonly logStartOffset: number
}

interface Session {
  readonly id: number
  readonly usesTopicIds: boolean
  /** The epoch the next request must have. */
  nextEpoch: number
  /** In the order in which they are served: who got records goes to the end. */
  readonly partitions: Map<string, SessionPartition>
}

/** One fetch, in a session or not. */
export interface OpenedFetch {
  /** For the answer: 0 without a session. */
  readonly sessionId: number
  readonly partitions: readonly WantedPartition[]
  /** Whether the answer lists the partition. To be asked once for each, when its answer is final. */
  includes(partition: WantedPartition, news: PartitionNews): boolean
}

export type FetchOpening = OpenedFetch | { readonly errorCode: number }

const NO_SESSION = 0
const INITIAL_EPOCH = 0
const FINAL_EPOCH = -1
const MAX_EPOCH = 0x7fff_ffff
/** Over all sessions. One takes about 200 bytes. */
const MAX_PARTITIONS = 200_000

export class FetchSessions {
  readonly #maxSessions: number
  readonly #maxPartitions: number
  /** Least recently used first. */
  readonly #sessions = new Map<number, Session>()
  #partitions = 0

  constructor(maxSessions: number, maxPartitions = MAX_PARTITIONS) {
    this.#maxSessions = maxSessions
    this.#maxPartitions = maxPartitions
  }

  get size(): number {
    return this.#sessions.size
  }

  get partitionCount(): number {
    return this.#partitions
  }

  open(request: FetchRequest, usesTopicIds: boolean): FetchOpening {
    const { sessionId, sessionEpoch } = request
    if (sessionEpoch === INITIAL_EPOCH || sessionEpoch === FINAL_EPOCH) {
      if (sessionId !== NO_SESSION) this.#remove(sessionId)
      const wanted = wantedPartitions(request, usesTopicIds)
      if (sessionEpoch === FINAL_EPOCH || wanted.length === 0 || hasEndlessName(request)) {
        return sessionless(wanted)
      }
      const session = this.#create(wanted, usesTopicIds)
      return session === undefined ? sessionless(wanted) : full(session)
    }
    const session = this.#sessions.get(sessionId)
    if (session === undefined) return { errorCode: ErrorCode.FETCH_SESSION_ID_NOT_FOUND }
    if (session.nextEpoch !== sessionEpoch) return { errorCode: ErrorCode.INVALID_FETCH_SESSION_EPOCH }
    if (session.usesTopicIds !== usesTopicIds) return { errorCode: ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR }
    if (hasEndlessName(request)) {
      this.#remove(sessionId)
      return { errorCode: ErrorCode.FETCH_SESSION_ID_NOT_FOUND }
    }
    this.#update(session, request)
    if (session.partitions.size === 0) {
      this.#remove(sessionId)
      return sessionless([])
    }
    if (!this.#makeRoom(0, session)) {
      this.#remove(sessionId)
      return { errorCode: ErrorCode.FETCH_SESSION_ID_NOT_FOUND }
    }
    session.nextEpoch = session.nextEpoch === MAX_EPOCH ? 1 : session.nextEpoch + 1
    this.#sessions.delete(sessionId)
    this.#sessions.set(sessionId, session)
    return incremental(session)
  }

  #create(wanted: readonly WantedPartition[], usesTopicIds: boolean): Session | undefined {
    if (this.#maxSessions === 0 || !this.#makeRoom(wanted.length)) return undefined
    if (this.#sessions.size >= this.#maxSessions) this.#removeOldest()
    const session: Session = { id: this.#unusedId(), usesTopicIds, nextEpoch: 1, partitions: new Map() }
    for (const partition of wanted) addTo(session, partition)
    this.#partitions += session.partitions.size
    this.#sessions.set(session.id, session)
    return session
  }

  #update(session: Session, request: FetchRequest): void {
    this.#partitions -= session.partitions.size
    for (const wanted of wantedPartitions(request, session.usesTopicIds)) {
      const known = session.partitions.get(keyOf(wanted.topic, wanted.partition))
      if (known === undefined) {
        addTo(session, wanted)
      } else {
        known.fetchOffset = wanted.fetchOffset
        known.maxBytes = wanted.maxBytes
        known.currentLeaderEpoch = wanted.currentLeaderEpoch
      }
    }
    for (const { topic, topicId, partitions } of request.forgottenTopicsData) {
      for (const partition of partitions) {
        session.partitions.delete(keyOf(session.usesTopicIds ? topicId : topic, partition))
      }
    }
    this.#partitions += session.partitions.size
  }

  /** False when these partitions are too many for all the sessions together. */
  #makeRoom(partitions: number, keep?: Session): boolean {
    while (this.#partitions + partitions > this.#maxPartitions) {
      const [oldest] = this.#sessions.values()
      if (oldest === undefined) return false
      if (oldest !== keep) {
        this.#remove(oldest.id)
      } else {
        if (this.#sessions.size === 1) return false
        // It is in use right now: the others go first.
        this.#sessions.delete(oldest.id)
        this.#sessions.set(oldest.id, oldest)
      }
    }
    return true
  }

  #removeOldest(): void {
    for (const id of this.#sessions.keys()) {
      this.#remove(id)
      return
    }
  }

  #remove(id: number): void {
    const session = this.#sessions.get(id)
    if (session === undefined) return
    this.#partitions -= session.partitions.size
    this.#sessions.delete(id)
  }

  #unusedId(): number {
    for (;;) {
      const id = randomInt(1, 0x7fff_ffff)
      if (!this.#sessions.has(id)) return id
    }
  }
}

function sessionless(partitions: readonly WantedPartition[]): OpenedFetch {
  return { sessionId: NO_SESSION, partitions, includes: () => true }
}

/** The first fetch of a session: everything is answered, and remembered as answered. */
function full(session: Session): OpenedFetch {
  return {
    sessionId: session.id,
    partitions: [...session.partitions.values()],
    includes(partition, news) {
      remember(session, partition as SessionPartition, news)
      return true
    },
  }
}

function incremental(session: Session): OpenedFetch {
  return {
    sessionId: session.id,
    partitions: [...session.partitions.values()],
    includes(wanted, news) {
      const partition = wanted as SessionPartition
      const isNews =
        news.errorCode !== ErrorCode.NONE ||
        news.recordBytes > 0 ||
        news.highWatermark !== partition.sentHighWatermark ||
        news.logStartOffset !== partition.sentLogStartOffset
      if (isNews) remember(session, partition, news)
      return isNews
    },
  }
}

function remember(session: Session, partition: SessionPartition, news: PartitionNews): void {
  const failed = news.errorCode !== ErrorCode.NONE
  // After an error the next good answer is news, whatever it says.
  partition.sentHighWatermark = failed ? -1 : news.highWatermark
  partition.sentLogStartOffset = failed ? -1 : news.logStartOffset
  if (news.recordBytes === 0) return
  const key = keyOf(partition.topic, partition.partition)
  // It may have been forgotten by a later request of the session while this one was waiting.
  if (session.partitions.delete(key)) session.partitions.set(key, partition)
}

function hasEndlessName({ topics }: FetchRequest): boolean {
  return topics.some(({ topic }) => topic.length > MAX_NAME_LENGTH)
}

/** Each partition once, as it was named last. */
function wantedPartitions(request: FetchRequest, usesTopicIds: boolean): WantedPartition[] {
  const wanted = new Map<string, WantedPartition>()
  for (const { topic, topicId, partitions } of request.topics) {
    for (const { partition, fetchOffset, partitionMaxBytes, currentLeaderEpoch } of partitions) {
      const name = usesTopicIds ? topicId : topic
      wanted.set(keyOf(name, partition), {
        topic: name,
        partition,
        fetchOffset: Number(fetchOffset),
        maxBytes: partitionMaxBytes,
        currentLeaderEpoch,
      })
    }
  }
  return [...wanted.values()]
}

function addTo(session: Session, wanted: WantedPartition): void {
  session.partitions.set(keyOf(wanted.topic, wanted.partition), {
    ...wanted,
    sentHighWatermark: -1,
    sentLogStartOffset: -1,
  })
}

function keyOf(topic: string, partition: number): string {
  return `${topic}:${partition}`
}
