import { offsetCommitRecord } from '@streambus/protocol'
import type { TopicCatalog } from '@streambus/storage'

const EMPTY = new Uint8Array(0)
const TOPIC_ID_BYTES = 16
const WITHOUT_TOPIC_ID = 3
const WITH_TOPIC_ID = 4

/**
 * Reads OffsetCommit records without making anything but the strings that are new. A start may have to read
 * millions of them, most of which name the group and the topic that the one before them named.
 *
 *     key:   int16 type 1 | string group | string topic | int32 partition
 *     value: int16 version 3 or 4 | int64 offset | int32 leaderEpoch | string metadata | int64 commitTimestamp
 *            | from version 4: tagged fields, of which 0 is the topic's id
 *
 * That is what this broker writes, and Kafka since 2.1. Records in other versions, and what is not as it should
 * be, are left to the decoder that comes from the schema.
 */
export class OffsetRecordReader {
  // What the last record said that `read` returned true for.
  group = ''
  topic = ''
  partition = 0
  offset = 0
  leaderEpoch = 0
  metadata = ''
  commitTimestampMs = 0
  /** False where the record names the id of a topic that is gone. */
  topicExists = true

  readonly #topics: TopicCatalog
  #bytes: Uint8Array = EMPTY
  #position = 0
  readonly #topicId = Buffer.alloc(TOPIC_ID_BYTES)
  #topicIdExists = false
  #topicsVersion = -1

  constructor(topics: TopicCatalog) {
    this.#topics = topics
  }

  /** False for records that this does not read. */
  read(key: Uint8Array, value: Uint8Array): boolean {
    if (key.length < 10 || key[0] !== 0 || key[1] !== offsetCommitRecord.type) return false
    if (value.length < 24 || value[0] !== 0) return false
    const version = value[1]!
    if (version !== WITHOUT_TOPIC_ID && version !== WITH_TOPIC_ID) return false
    return this.#readKey(key) && this.#readValue(value, version)
  }

  #readKey(key: Uint8Array): boolean {
    this.#bytes = key
    this.#position = 2
    const group = this.#string(this.group, this.#int16())
    if (group === undefined || this.#left < 2) return false
    const topic = this.#string(this.topic, this.#int16())
    if (topic === undefined || this.#left !== 4) return false
    this.group = group
    this.topic = topic
    this.partition = this.#int32()
    return true
  }

  #readValue(value: Uint8Array, version: number): boolean {
    this.#bytes = value
    this.#position = 2
    const offset = this.#int64()
    const leaderEpoch = this.#int32()
    const length = version === WITHOUT_TOPIC_ID ? this.#int16() : this.#unsignedVarint() - 1
    const metadata = this.#string(this.metadata, length)
    if (metadata === undefined || this.#left < 8) return false
    const commitTimestampMs = this.#int64()
    this.topicExists = true
    if (version === WITHOUT_TOPIC_ID ? this.#left !== 0 : !this.#readTags()) return false
    this.offset = offset
    this.leaderEpoch = leaderEpoch
    this.metadata = metadata
    this.commitTimestampMs = commitTimestampMs
    return true
  }

  /** None, or the topic's id and nothing else. */
  #readTags(): boolean {
    const bytes = this.#bytes
    const at = this.#position
    if (this.#left === 1) return bytes[at] === 0
    if (this.#left !== 3 + TOPIC_ID_BYTES) return false
    if (bytes[at] !== 1 || bytes[at + 1] !== 0 || bytes[at + 2] !== TOPIC_ID_BYTES) return false
    this.topicExists = this.#exists(at + 3)
    return true
  }

  #exists(at: number): boolean {
    let isKnown = this.#topicsVersion === this.#topics.version
    for (let index = 0; isKnown && index < TOPIC_ID_BYTES; index++) {
      isKnown = this.#bytes[at + index] === this.#topicId[index]
    }
    if (!isKnown) {
      this.#topicId.set(this.#bytes.subarray(at, at + TOPIC_ID_BYTES))
      this.#topicsVersion = this.#topics.version
      this.#topicIdExists = this.#topics.byId(this.#topicId.toString('base64url')) !== undefined
    }
    return this.#topicIdExists
  }

  get #left(): number {
    return this.#bytes.length - this.#position
  }

  #int16(): number {
    const value = ((this.#bytes[this.#position]! << 24) >> 16) | this.#bytes[this.#position + 1]!
    this.#position += 2
    return value
  }

  #int32(): number {
    const bytes = this.#bytes
    const at = this.#position
    this.#position += 4
    return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
  }

  #int64(): number {
    const high = this.#int32()
    return high * 2 ** 32 + (this.#int32() >>> 0)
  }

  #unsignedVarint(): number {
    let value = 0
    for (let shift = 0; shift < 35 && this.#left > 0; shift += 7) {
      const byte = this.#bytes[this.#position++]!
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    return 0
  }

  /** The same string as `previous` where the bytes say the same; undefined where they are not there. */
  #string(previous: string, length: number): string | undefined {
    if (length < 0 || length > this.#left) return undefined
    const bytes = this.#bytes
    const at = this.#position
    this.#position += length
    // Only where every character is one byte is this the length of the string, too.
    if (length === previous.length) {
      let index = 0
      while (index < length && bytes[at + index] === previous.charCodeAt(index) && bytes[at + index]! < 0x80)
        index++
      if (index === length) return previous
    }
    return Buffer.from(bytes.buffer, bytes.byteOffset + at, length).toString('utf8')
  }
}
