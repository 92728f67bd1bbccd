import {
  batchHeader,
  crc32c,
  setBaseOffset,
  setLogAppendTime,
  setPartitionLeaderEpoch,
} from '@streambus/protocol'
import { lookupTimestampOf } from '../batch-timestamp.ts'
import type { LogHead } from '../log-head.ts'
import { type AppendBatch, type AppendResult, StorageError } from '../log-store.ts'
import type { ProducerEntry } from '../producer-table.ts'
import type { StoreEvent } from '../store-state.ts'
import type { TransactionChange } from '../transaction-table.ts'
import type { DiskAccess } from './disk-access.ts'
import { isNoRoom } from './file-system.ts'
import type { LogFile, WritableLogFile } from './log-files.ts'
import {
  ENTRY_BYTES,
  EntryKind,
  EntryTable,
  FILE_HEADER_BYTES,
  finishGroup,
  GROUP_HEADER_BYTES,
  paddedLength,
} from './log-format.ts'
import { releaseAll } from './release-all.ts'
import type { TailRing } from './tail-ring.ts'

/**
 * The durability point: everything that arrived while the last write was under way goes out in the next one,
 * whatever the number of logs, and only when that write is on disk are its batches visible and acknowledged.
 *
 * The invariants:
 * - A batch gets its offset when it is placed in a group, in the order of the calls.
 * - Groups are written in order, at most two at a time, and are committed strictly in order: a group that is
 *   on disk waits for the one before it.
 * - When a write fails, that group and everything after it is withdrawn in reverse order, so that offsets and
 *   sequences are given again. A full disk is answered and the next append tries again; any other failure
 *   may mean that the disk lost what it had acknowledged, and no write is tried on it again.
 */

const MAX_WRITES_IN_FLIGHT = 2

/** Where an append's outcome goes. One object per call of `append`, not per batch. */
export class PendingAppend {
  readonly results: AppendResult[]
  readonly promise: Promise<AppendResult[]>
  #resolve!: (results: AppendResult[]) => void
  /** Groups the outcome waits for, and one for the caller that is still placing batches. */
  #outstanding = 1
  #lastGroup: Group | null = null

  constructor(count: number) {
    this.results = new Array(count)
    this.promise = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  /** The outcome depends on this group; groups come in order. */
  dependOn(group: Group): void {
    if (this.#lastGroup === group) return
    this.#lastGroup = group
    this.#outstanding++
    group.appends.push(this)
  }

  settleOne(): void {
    if (--this.#outstanding === 0) this.#resolve(this.results)
  }
}

export interface DurableBatch {
  readonly log: LogHead
  readonly byteLength: number
  readonly baseOffset: number
  readonly endOffset: number
  readonly maxTimestampMs: number
}

interface PlacedBatch extends DurableBatch {
  /** In its group. */
  readonly position: number
  readonly producerId: number
  readonly previousProducer: ProducerEntry | undefined
  readonly transaction: TransactionChange | null
  readonly append: PendingAppend
  readonly index: number
}

/** A duplicate whose original is not durable yet: its answer stands and falls with the groups before it. */
interface PlacedDuplicate {
  readonly log: LogHead
  /** Of the original. */
  readonly baseOffset: number
  readonly append: PendingAppend
  readonly index: number
}

interface PlacedEvent {
  readonly event: StoreEvent
  resolve(): void
  reject(error: StorageError): void
}

class Group {
  readonly place: number
  /** End of header and payload; the entry table follows. */
  payloadEnd = GROUP_HEADER_BYTES
  readonly table: EntryTable
  readonly batches: PlacedBatch[] = []
  readonly duplicates: PlacedDuplicate[] = []
  readonly events: PlacedEvent[] = []
  readonly appends: PendingAppend[] = []
  // Given when the group is written.
  target: WritableLogFile | null = null
  filePosition = 0
  byteLength = 0
  sequence = 0
  chain = 0
  state: 'placed' | 'writing' | 'written' | 'failed' = 'placed'

  constructor(place: number, table: EntryTable) {
    this.place = place
    this.table = table
  }

  get isEmpty(): boolean {
    return this.table.byteLength === 0 && this.duplicates.length === 0
  }

  lengthWith(payloadBytes: number): number {
    return paddedLength(this.payloadEnd + payloadBytes + this.table.byteLength + ENTRY_BYTES)
  }
}

/** What the writer needs of its surroundings. */
export interface GroupCommitOptions {
  readonly ring: TailRing
  readonly disk: DiskAccess
  /** A single batch or event may be larger; a group is closed when it has reached this. */
  readonly targetGroupBytes: number
  /** A second write is started beside the first only for at least this much. */
  readonly secondWriteBytes: number
  readonly fileBytes: number
  readonly maxEventBytes: number
  readonly durability: 'fsync' | 'os'
  readonly clock: () => number
  /** The next file to write to. */
  nextFile(): Promise<WritableLogFile>
  /** True when a better file than the current one waits, and the current one should be left early. */
  shouldLeave(file: LogFile): boolean
  /** In order, for every durable batch: where in its file it lies. */
  onBatch(batch: DurableBatch, filePosition: number): void
  onEvent(event: StoreEvent): void
  /** Before the first group of `next` is committed: nothing more comes into `full`. */
  onFileFull(full: WritableLogFile, next: LogFile): void
  onGroupDurable(byteLength: number): void
  onFailure(error: StorageError): void
}

/** Where writing goes on. */
export interface WritePosition {
  readonly current: WritableLogFile
  readonly sequence: number
  readonly chain: number
}

function logDeleted(log: LogHead): StorageError {
  return new StorageError('UNKNOWN_LOG', `log ${log.id} was deleted`)
}

export class GroupCommit {
  readonly #options: GroupCommitOptions
  /** Where the next group is written. */
  #current: WritableLogFile
  /** Where the last committed group lies. */
  #committedFile: WritableLogFile
  #open: Group | null = null
  /** Closed groups that wait for a free write. */
  readonly #ready: Group[] = []
  readonly #inFlight: Group[] = []
  /** Of the last group given to a write. */
  #sequence: number
  #chain: number
  /** Of the last committed group. */
  #durableSequence: number
  #durableChain: number
  #durablePosition: number
  /** Time of the last group. */
  #writtenAtMs = 0
  #flushScheduled = false
  #isSwitchingFile = false
  #isClosed = false
  #writeError: unknown = null
  #fatal: StorageError | null = null
  readonly #spareTables: EntryTable[] = []
  /** Appends and events that found no room, in order. Their batches are copies. */
  readonly #waiting: (() => boolean)[] = []
  #idle: (() => void)[] = []

  constructor(options: GroupCommitOptions, position: WritePosition) {
    this.#options = options
    this.#current = position.current
    this.#committedFile = position.current
    this.#sequence = position.sequence
    this.#durableSequence = position.sequence
    this.#chain = position.chain
    this.#durableChain = position.chain
    this.#durablePosition = position.current.file.endPosition
  }

  /** The error that stopped the writer for good, or null. */
  get failure(): StorageError | null {
    return this.#fatal
  }

  /** The end of what is committed: where a recovery that starts from here begins to replay. */
  get durableEnd(): { fileNumber: number; position: number; sequence: number; chain: number } {
    return {
      fileNumber: this.#committedFile.file.number,
      position: this.#durablePosition,
      sequence: this.#durableSequence,
      chain: this.#durableChain,
    }
  }

  append(
    batches: readonly AppendBatch[],
    findLog: (batch: AppendBatch) => LogHead | StorageError,
  ): Promise<AppendResult[]> {
    const append = new PendingAppend(batches.length)
    let next = 0
    let pending = batches
    const place = (): boolean => {
      for (; next < pending.length; next++) {
        if (!this.#placeBatch(pending[next]!, append, next, findLog)) return false
      }
      append.settleOne()
      return true
    }
    if (this.#waiting.length > 0 || !place()) {
      // The caller may reuse its memory when this returns, so what has to wait is copied.
      pending = batches.map((batch, index) =>
        index < next ? batch : { ...batch, bytes: Uint8Array.from(batch.bytes) },
      )
      this.#waiting.push(place)
    }
    return append.promise
  }

  commitEvent(event: StoreEvent): Promise<void> {
    const body = new TextEncoder().encode(JSON.stringify(event))
    const { maxEventBytes } = this.#options
    if (body.byteLength > maxEventBytes) {
      const message = `a change of ${body.byteLength} bytes is larger than the ${maxEventBytes} the log takes`
      return Promise.reject(new StorageError('BATCH_TOO_LARGE', message))
    }
    return new Promise((resolve, reject) => {
      const place = (): boolean => {
        if (this.#fatal !== null) {
          reject(this.#fatal)
          return true
        }
        const group = this.#roomFor(body.byteLength)
        if (group === null) return false
        const position = group.payloadEnd
        this.#claim(group, body.byteLength).set(body)
        group.table.add({
          kind: EntryKind.event,
          logId: 0,
          position,
          lengthBytes: body.byteLength,
          baseOffset: 0,
          crc: crc32c(body),
          leaderEpoch: 0,
        })
        group.events.push({ event, resolve, reject })
        return true
      }
      if (this.#waiting.length > 0 || !place()) this.#waiting.push(place)
    })
  }

  /** Resolves when everything placed so far is durable or has failed. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#idle.push(resolve)
      this.#settleIdle()
    })
  }

  /**
   * Stops the writer for good: elsewhere it turned out that the disk lost what it had taken. Whatever the
   * system calls the failure, there is no trying again.
   */
  stop(cause: unknown): void {
    const reason = cause instanceof Error ? cause.message : String(cause)
    this.#writeError = new Error(reason, { cause })
    this.#afterWrite()
  }

  /** Makes what is committed in the last file durable where writes are not by themselves. */
  sync(): Promise<void> {
    return this.#committedFile.handle.sync()
  }

  /**
   * What the logs knew of those producers that have batches on their way to disk, before these batches: with
   * it a checkpoint taken now says exactly what a replay up to `durableEnd` would find.
   */
  durableProducers(): Map<LogHead, Map<number, ProducerEntry | undefined>> {
    const known = new Map<LogHead, Map<number, ProducerEntry | undefined>>()
    for (const group of [...this.#inFlight, ...this.#ready, ...(this.#open === null ? [] : [this.#open])]) {
      for (const { log, producerId, previousProducer } of group.batches) {
        if (producerId < 0) continue
        const producers = known.get(log) ?? new Map<number, ProducerEntry | undefined>()
        known.set(log, producers)
        if (!producers.has(producerId)) producers.set(producerId, previousProducer)
      }
    }
    return known
  }

  /** Ends the file being written at the end of the log, so that no start has to look behind it, and closes it. */
  async close(beforeClosing: () => Promise<void>): Promise<void> {
    const { handle, file } = this.#current
    try {
      await handle.truncate(file.endPosition)
      await handle.sync()
      await beforeClosing()
    } finally {
      await this.abandon()
    }
  }

  /** Closes the file as it is, unless it is closed. */
  async abandon(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    // Two, where the file after it was begun and nothing could be written to it.
    const files = new Set([this.#current, this.#committedFile])
    await releaseAll(
      [...files].map(
        ({ handle }) =>
          () =>
            handle.close(),
      ),
    )
  }

  #placeBatch(
    batch: AppendBatch,
    append: PendingAppend,
    index: number,
    findLog: (batch: AppendBatch) => LogHead | StorageError,
  ): boolean {
    const log = this.#fatal ?? findLog(batch)
    if (log instanceof StorageError) {
      append.results[index] = { error: log }
      return true
    }
    const { byteLength } = batch.bytes
    const group = this.#roomFor(byteLength)
    if (group === null) return false
    const admission = log.admit(batch, this.#options.clock())
    if (admission.kind === 'refused') {
      append.results[index] = { error: admission.error }
      return true
    }
    const { baseOffset } = admission
    const duplicate = admission.kind === 'duplicate'
    append.results[index] = { error: null, baseOffset, logStartOffset: log.startOffset, duplicate }
    if (admission.kind === 'duplicate') {
      // The original may still be on its way to disk; its outcome is then this one's too.
      if (baseOffset >= log.highWatermark) {
        append.dependOn(group)
        group.duplicates.push({ log, baseOffset, append, index })
      }
      return true
    }
    const position = group.payloadEnd
    const bytes = this.#claim(group, byteLength)
    bytes.set(batch.bytes)
    setBaseOffset(bytes, 0, baseOffset)
    setPartitionLeaderEpoch(bytes, 0, log.leaderEpoch)
    if (batch.logAppendTimeMs !== undefined) setLogAppendTime(bytes, 0, batch.logAppendTimeMs)
    group.table.add({
      kind: EntryKind.batch,
      logId: log.id,
      position,
      lengthBytes: byteLength,
      baseOffset,
      crc: batchHeader.crc(bytes, 0),
      leaderEpoch: log.leaderEpoch,
    })
    group.batches.push({
      log,
      position,
      byteLength,
      baseOffset,
      endOffset: log.nextOffset,
      maxTimestampMs: lookupTimestampOf(bytes, 0),
      producerId: admission.producerId,
      previousProducer: admission.previousProducer,
      transaction: admission.transaction,
      append,
      index,
    })
    append.dependOn(group)
    return true
  }

  /** The group that takes `payloadBytes` more, or null while the ring is full of what is not durable yet. */
  #roomFor(payloadBytes: number): Group | null {
    const { ring, targetGroupBytes } = this.#options
    const open = this.#open
    if (open !== null) {
      const byteLength = open.lengthWith(payloadBytes)
      const isSmallEnough = byteLength <= targetGroupBytes || open.isEmpty
      if (isSmallEnough && ring.hasRoom(open.place, byteLength, this.#floor() ?? open.place)) {
        // Opened for a batch that was refused, or a duplicate of a durable one, it may have stayed empty until
        // its flush, which passed it over: the first batch placed in it asks for another.
        if (open.isEmpty) this.#scheduleFlush()
        return open
      }
      this.#open = null
      if (!open.isEmpty) this.#ready.push(this.#close(open))
    }
    const smallest = paddedLength(GROUP_HEADER_BYTES + payloadBytes + ENTRY_BYTES)
    const place = ring.placeFor(smallest, this.#floor())
    if (place === null) return null
    this.#open = new Group(place, this.#spareTables.pop() ?? new EntryTable())
    this.#scheduleFlush()
    return this.#open
  }

  /** Start of the oldest closed group that is not durable. */
  #floor(): number | null {
    return (this.#inFlight[0] ?? this.#ready[0])?.place ?? null
  }

  #claim(group: Group, byteLength: number): Uint8Array {
    const position = group.payloadEnd
    group.payloadEnd = position + byteLength
    return this.#options.ring.claim(group.place, group.payloadEnd).subarray(position)
  }

  /** Nothing more is placed in the group: the ring goes on behind its entry table. */
  #close(group: Group): Group {
    group.byteLength = paddedLength(group.payloadEnd + group.table.byteLength)
    this.#options.ring.claim(group.place, group.byteLength)
    return group
  }

  /**
   * At the end of this turn of the event loop, so that everything the turn brings goes out together. While a
   * write is under way its completion does the same.
   */
  #scheduleFlush(): void {
    if (this.#flushScheduled) return
    this.#flushScheduled = true
    setImmediate(() => {
      this.#flushScheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    while (!this.#isSwitchingFile && this.#writeError === null) {
      const group = this.#takeNext()
      if (group === null) break
      if (this.#needsNextFile(group.byteLength)) {
        this.#ready.unshift(group)
        // A file is left only when something in it is durable. Else, should the writes to it fail, the log
        // would go on in the file after it, and a recovery would look for that behind an empty one.
        if (this.#current === this.#committedFile) void this.#switchFile()
        break
      }
      void this.#write(group)
    }
    this.#settleIdle()
  }

  #takeNext(): Group | null {
    if (this.#inFlight.length >= MAX_WRITES_IN_FLIGHT) return null
    const ready = this.#ready.shift()
    if (ready !== undefined) return ready
    const open = this.#open
    if (open === null || open.isEmpty) return null
    if (this.#inFlight.length > 0 && open.payloadEnd < this.#options.secondWriteBytes) return null
    this.#open = null
    return this.#close(open)
  }

  #needsNextFile(byteLength: number): boolean {
    const { file } = this.#current
    if (file.endPosition === FILE_HEADER_BYTES) return false
    return file.endPosition + byteLength > this.#options.fileBytes || this.#options.shouldLeave(file)
  }

  async #switchFile(): Promise<void> {
    this.#isSwitchingFile = true
    try {
      this.#current = await this.#options.nextFile()
    } catch (error) {
      this.#writeError = error
    }
    this.#isSwitchingFile = false
    this.#afterWrite()
  }

  async #write(group: Group): Promise<void> {
    const { ring, disk, durability, clock } = this.#options
    this.#writtenAtMs = Math.max(this.#writtenAtMs, clock())
    const target = this.#current
    group.target = target
    group.filePosition = target.file.endPosition
    group.sequence = this.#sequence + 1
    group.state = 'writing'
    const bytes = ring.claim(group.place, group.byteLength)
    group.chain = finishGroup(bytes, group.payloadEnd, group.table.bytes(), {
      chain: this.#chain,
      sequence: group.sequence,
      durableSequence: durability === 'fsync' ? this.#durableSequence : 0,
      fileNumber: target.file.number,
      writtenAtMs: this.#writtenAtMs,
    })
    this.#sequence = group.sequence
    this.#chain = group.chain
    target.file.endPosition += group.byteLength
    this.#inFlight.push(group)
    try {
      await disk.durable(target.handle.write(bytes, group.filePosition))
      group.state = 'written'
    } catch (error) {
      group.state = 'failed'
      // What a write found no room for is known not to count; of any other that fails with it that is not known.
      if (this.#writeError === null || isNoRoom(this.#writeError)) this.#writeError = error
    }
    this.#afterWrite()
  }

  #afterWrite(): void {
    while (this.#inFlight[0]?.state === 'written') this.#commit(this.#inFlight.shift()!)
    if (this.#writeError !== null) {
      // Withdrawing waits for the other write: until it ends, the blocks it writes to are not ours to reuse.
      if (this.#inFlight.some((group) => group.state === 'writing')) return
      this.#withdrawAll()
    }
    while (this.#waiting.length > 0 && this.#waiting[0]!()) this.#waiting.shift()
    this.#scheduleFlush()
  }

  #commit(group: Group): void {
    const { ring, onBatch, onEvent, onFileFull, onGroupDurable } = this.#options
    const target = group.target!
    const { file } = target
    if (target !== this.#committedFile) {
      onFileFull(this.#committedFile, file)
      this.#committedFile = target
    }
    this.#durableSequence = group.sequence
    this.#durableChain = group.chain
    this.#durablePosition = group.filePosition + group.byteLength
    file.committedEnd = this.#durablePosition
    ring.remember(file.number, group.filePosition, group.place, group.byteLength)
    for (const batch of group.batches) {
      if (batch.log.deleted) {
        batch.append.results[batch.index] = { error: logDeleted(batch.log) }
        continue
      }
      batch.log.commit(batch.endOffset, batch.byteLength, batch.transaction)
      onBatch(batch, group.filePosition + batch.position)
    }
    for (const { log, append, index } of group.duplicates) {
      if (log.deleted) append.results[index] = { error: logDeleted(log) }
    }
    for (const placed of group.events) {
      onEvent(placed.event)
      placed.resolve()
    }
    this.#release(group)
    onGroupDurable(group.byteLength)
  }

  /** A write failed: takes back everything that is not durable, newest first, and answers it. */
  #withdrawAll(): void {
    const cause = this.#writeError
    this.#writeError = null
    const groups = [...this.#inFlight, ...this.#ready, ...(this.#open === null ? [] : [this.#open])]
    this.#inFlight.length = 0
    this.#ready.length = 0
    this.#open = null
    const error = this.#errorFor(cause)
    for (const group of groups.toReversed()) {
      for (const batch of group.batches.toReversed()) {
        batch.log.withdraw(batch.baseOffset, batch.producerId, batch.previousProducer)
        batch.append.results[batch.index] = { error }
      }
      for (const { log, baseOffset, append, index } of group.duplicates) {
        // Where the original was durable before the failure, the answer stands.
        if (baseOffset >= log.highWatermark) append.results[index] = { error }
      }
      for (const placed of group.events) placed.reject(error)
    }
    this.#sequence = this.#durableSequence
    this.#chain = this.#durableChain
    // The same batches written again at once would make the same group, and one that had followed the failed
    // one, and is on disk, would follow it again.
    this.#writtenAtMs++
    this.#current.file.endPosition =
      this.#current === this.#committedFile ? this.#durablePosition : FILE_HEADER_BYTES
    for (const group of groups) this.#release(group)
    this.#options.onFailure(error)
  }

  #errorFor(cause: unknown): StorageError {
    const { path } = this.#current.file
    const reason = cause instanceof Error ? cause.message : String(cause)
    if (isNoRoom(cause)) {
      return new StorageError('DISK_FULL', `no room to write to ${path}: ${reason}`, { cause })
    }
    const message = `writing to ${path} at byte ${this.#durablePosition} failed (${reason}); what is on disk there is unknown, so nothing more is written until a restart`
    // What comes later is not written at all, so its outcome is known.
    this.#fatal = new StorageError('WRITER_FAILED', message, { cause })
    return new StorageError('WRITER_FAILED', message, { inDoubt: true, cause })
  }

  #release(group: Group): void {
    for (const append of group.appends) append.settleOne()
    group.table.clear()
    this.#spareTables.push(group.table)
  }

  #settleIdle(): void {
    const isIdle =
      this.#inFlight.length === 0 &&
      this.#ready.length === 0 &&
      this.#waiting.length === 0 &&
      (this.#open === null || this.#open.isEmpty) &&
      !this.#isSwitchingFile
    if (!isIdle) return
    for (const resolve of this.#idle.splice(0)) resolve()
  }
}
