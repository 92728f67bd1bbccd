import { join } from 'node:path'
import type { LogHead } from '../log-head.ts'
import {
  type AppendBatch,
  type AppendResult,
  type CompactionPolicy,
  type KeepingPolicy,
  type LogId,
  type MaintenanceBudget,
  type MaintenanceProgress,
  type Offset,
  type OffsetAndTimestamp,
  type ReadLimits,
  type ReadRequest,
  type ReadResult,
  type RetentionLimits,
  StorageError,
  type Topic,
} from '../log-store.ts'
import type { LogStorage, MaintenanceMetrics } from '../maintenance-metrics.ts'
import { StoreBase } from '../store-base.ts'
import type { Compacted, StoreEvent } from '../store-state.ts'
import { BlockCache } from './block-cache.ts'
import { type Checkpoint, readCheckpoint, takeCheckpoint, writeCheckpoint } from './checkpoint.ts'
import { asOpenError, firstCheckpoint, lockFolder, renewCheckpoint } from './data-folder.ts'
import { DiskAccess } from './disk-access.ts'
import { DiskReader } from './disk-reader.ts'
import { REMOVAL_STEP_BYTES, type RemovalPace } from './file-removal.ts'
import { FileSupply } from './file-supply.ts'
import { exceptNoRoom, type FileSystem, type FolderLock } from './file-system.ts'
import { FullFiles } from './full-files.ts'
import { GroupCommit } from './group-commit.ts'
import { type LocalLogStoreOptions, type StoreLog, withDefaults } from './local-log-store-options.ts'
import { LocalRecordBytes, type RecordSources, readFailed } from './local-record-bytes.ts'
import { giveBackPrepared, type LogFile, LogFileFactory, type WritableLogFile } from './log-files.ts'
import { MAX_GROUP_BYTES } from './log-format.ts'
import { Maintenance, maintenanceError } from './maintenance.ts'
import { offsetForTime } from './offset-for-time.ts'
import { bytesWithin, type OffsetIndex } from './offset-index.ts'
import { ReadPlan } from './read-plan.ts'
import { type Recovered, recover } from './recovery.ts'
import { releaseAll } from './release-all.ts'
import { Reserve } from './reserve.ts'
import { RewritingBuffers } from './rewriting.ts'
import type { WrittenSegment } from './segment-file.ts'
import { TailRing } from './tail-ring.ts'
import { WorkShare } from './work-share.ts'

export type { LocalLogStoreOptions } from './local-log-store-options.ts'

const MIB = 1024 ** 2
const TARGET_GROUP_BYTES = MIB
const SECOND_WRITE_BYTES = 256 * 1024

/**
 * The local engine: one log of groups for all partitions, in one data folder.
 *
 * ```
 * DATA/lock                 held while a process has the folder open
 * DATA/reserve              room for deletions on a full disk
 * DATA/checkpoint           what the store knew when the last file was full, or when it closed
 * DATA/log/….log            the groups, in numbered files
 * DATA/log/….index          beside each full file: where each log's batches lie in it
 * ```
 *
 * The way of a batch: `GroupCommit` places it in the ring and writes its group; then it is indexed, and
 * `read` finds it through `OffsetIndex` and copies it from the ring or the disk.
 */
export class LocalLogStore extends StoreBase {
  readonly clusterId: string
  readonly durability: 'fsync' | 'os'
  readonly location: string
  readonly maxBatchBytes: number
  readonly #removalPace: RemovalPace
  readonly #files: LogFileFactory
  readonly #share: WorkShare
  readonly #fileSystem: FileSystem
  readonly #log: StoreLog
  readonly #lock: FolderLock
  readonly #ring: TailRing
  readonly #index: OffsetIndex
  readonly #sources: RecordSources
  readonly #supply: FileSupply
  readonly #reserve: Reserve
  readonly #commit: GroupCommit
  readonly #fullFiles: FullFiles
  readonly #maintenance: Maintenance
  /** Full before its time, when something is written next. */
  #fileToLeave: LogFile | null = null
  /** Segments whose event is on its way to disk, by number. */
  readonly #newSegments = new Map<number, WrittenSegment>()
  #currentFile: LogFile
  /** Files before this one are no longer needed for a recovery. */
  #checkpointFileNumber: number
  /** That this process has written it: the sync of the one a start finds may have failed. */
  #isCheckpointDurable = false
  /** `os` durability: full files whose bytes may still be with the operating system only. */
  readonly #unsynced = new Set<WritableLogFile>()
  #syncFailure: StorageError | null = null
  /** Index files, checkpoints and removals, one after the other. */
  #background: Promise<void> = Promise.resolve()
  #closing: Promise<void> | null = null

  private constructor(
    options: Required<LocalLogStoreOptions>,
    checkpoint: Checkpoint,
    lock: FolderLock,
    files: LogFileFactory,
    recovered: Recovered,
    current: WritableLogFile,
    disk: DiskAccess,
  ) {
    super(recovered.state, options.clock, options.newId)
    this.clusterId = checkpoint.clusterId
    this.durability = options.durability
    this.location = options.dataDir
    this.#fileSystem = options.fileSystem
    this.#log = options.log
    this.#lock = lock
    this.#ring = new TailRing(options.cacheBytes)
    this.#sources = { ring: this.#ring, blocks: new BlockCache(disk), reader: new DiskReader(disk) }
    this.#share = new WorkShare(options.clock)
    this.#removalPace = {
      share: this.#share,
      stepBytes: Math.min(REMOVAL_STEP_BYTES, options.fileBytes / 8),
      isHurried: () => this.#closing !== null || this.#reserve.isSpent,
      syncFolder: () => this.#files.syncFolder(),
    }
    this.#files = files
    files.syncFailed = (error) => this.#syncFailed(error)
    this.maxBatchBytes = Math.floor(
      Math.min(this.#ring.capacityBytes / 4, options.fileBytes / 2, MAX_GROUP_BYTES / 2),
    )
    this.#index = recovered.index
    this.#fullFiles = new FullFiles(recovered.fullFiles)
    this.#currentFile = current.file
    this.#checkpointFileNumber = checkpoint.end.fileNumber
    this.#reserve = new Reserve(options.fileSystem, options.dataDir, options.fileBytes)
    this.#inBackground('keep some room for deletions', () => this.#reserve.fill())
    this.#supply = new FileSupply(files, options, current.file.number)
    this.#maintenance = new Maintenance({
      rewriting: {
        files,
        index: recovered.index,
        disk,
        buffers: new RewritingBuffers(this.maxBatchBytes),
        share: this.#share,
        clock: options.clock,
        logOf: (logId) => recovered.state.logs.get(logId),
        nextSegmentNumber: () => recovered.state.nextSegmentNumber++,
        addSegment: (segment, compaction) => this.#addSegment(segment, compaction),
      },
      state: recovered.state,
      fileBytes: options.fileBytes,
      files: this.#fullFiles,
      counters: this.counters,
      leaveFile: () => this.#leaveFile(),
    })
    this.#commit = new GroupCommit(
      {
        ring: this.#ring,
        disk,
        targetGroupBytes: Math.min(TARGET_GROUP_BYTES, this.#ring.capacityBytes / 8),
        secondWriteBytes: SECOND_WRITE_BYTES,
        fileBytes: options.fileBytes,
        maxEventBytes: this.maxBatchBytes,
        durability: options.durability,
        clock: options.clock,
        nextFile: () => this.#supply.next(),
        shouldLeave: (file) => file === this.#fileToLeave || this.#supply.hasBetterThan(file),
        onBatch: (batch, filePosition) => {
          const { log, baseOffset, byteLength, maxTimestampMs } = batch
          this.#index.add(log.id, baseOffset, filePosition, byteLength, maxTimestampMs)
          this.waiters.wake(log.id, log)
        },
        onEvent: (event) => this.#applyEvent(event),
        onFileFull: (full, next) => this.#fileFull(full, next),
        onGroupDurable: (byteLength) => {
          this.#supply.groupWritten(byteLength, this.#currentFile)
          this.expiry.step(this.clock())
        },
        onFailure: (error) => this.#log.error({ code: error.code }, error.message),
      },
      { current, sequence: recovered.end.sequence, chain: recovered.end.chain },
    )
  }

  /**
   * Opens a data folder, or makes one. Throws StorageError DATA_LOCKED, DATA_NOT_WRITABLE, DATA_NEWER_FORMAT
   * or DATA_DAMAGED, each with the way out in its message and nothing changed on disk.
   */
  static async open(given: LocalLogStoreOptions): Promise<LocalLogStore> {
    const options = withDefaults(given)
    const { dataDir, fileSystem, log } = options
    const lock = await lockFolder(fileSystem, dataDir)
    try {
      const folder = join(dataDir, 'log')
      const found = await readCheckpoint(fileSystem, dataDir)
      await fileSystem.makeFolder(folder)
      // A run that ended before it could do so may have left files whose names a power failure would take.
      for (const one of [dataDir, folder]) await fileSystem.syncFolder(one)
      const checkpoint = found?.checkpoint ?? (await firstCheckpoint(fileSystem, dataDir, options.newId))
      const storeId = Buffer.from(checkpoint.clusterId, 'base64url')
      const durable = options.durability === 'fsync'
      const files = new LogFileFactory({ fileSystem, folder, storeId, durable })
      await files.probeDirectIo()
      const disk = new DiskAccess()
      const recovered = await recover({
        fileSystem,
        folder,
        storeId,
        checkpoint,
        files,
        maxLoadedIndexBytes: options.indexCacheBytes,
        disk,
        onDamage: options.onDamage,
        warn: (facts, message) => log.warn(facts, message),
      })
      const { lastFile } = recovered
      const opening = async () => {
        if (found !== null) await renewCheckpoint(fileSystem, dataDir, found)
        return await (lastFile === null ? files.create(checkpoint.end.fileNumber, 0) : files.reopen(lastFile))
      }
      const current = await opening().catch(async (error: unknown) => {
        await lastFile?.close()
        throw error
      })
      recovered.index.beginFile(current.file)
      const store = new LocalLogStore(options, checkpoint, lock, files, recovered, current, disk)
      log.info(
        {
          dataDir,
          directIo: files.direct,
          files: recovered.fullFiles.length + 1,
          replayed: recovered.replayedGroups,
        },
        'data folder open',
      )
      return store
    } catch (error) {
      await lock.release()
      throw asOpenError(error, dataDir)
    }
  }

  append(batches: readonly AppendBatch[]): Promise<AppendResult[]> {
    this.#share.appends++
    return this.#commit.append(batches, this.#findLog)
  }

  readonly #findLog = (batch: AppendBatch): LogHead | StorageError => {
    if (this.#closing !== null) return new StorageError('CLOSED', 'the store is closed')
    const log = this.storeState.logs.get(batch.logId)
    if (log === undefined) return new StorageError('UNKNOWN_LOG', `log ${batch.logId} does not exist`)
    if (this.#reserve.isInUse) return new StorageError('DISK_FULL', `${this.location} has no room`)
    if (batch.bytes.byteLength > this.maxBatchBytes) {
      return new StorageError('BATCH_TOO_LARGE', `a batch has at most ${this.maxBatchBytes} bytes`)
    }
    return log
  }

  async read(requests: readonly ReadRequest[], limits: ReadLimits): Promise<ReadResult[]> {
    const results: ReadResult[] = []
    let remainingBytes = limits.maxBytes
    let isFirst = true
    for (const request of requests) {
      const log = this.#logToRead(request)
      if ('error' in log) {
        results.push(log)
        continue
      }
      const { offset, readCommitted = false } = request
      const { lastStableOffset } = log
      const limit = readCommitted ? lastStableOffset : Number.POSITIVE_INFINITY
      const plan = new ReadPlan(Math.min(request.maxBytes, remainingBytes), isFirst, limit)
      try {
        if (offset < Math.min(limit, log.highWatermark)) await this.#plan(plan, log, offset)
        // Had the start passed the offset while an index was loaded, what lies before it might be missing, and aborted
        // transactions forgotten whose records are among those found.
        const now = this.#logToRead(request)
        if ('error' in now) {
          results.push(now)
          continue
        }
        remainingBytes -= plan.takenBytes
        if (plan.takenBytes > 0) isFirst = false
        results.push({
          error: null,
          highWatermark: log.highWatermark,
          lastStableOffset: readCommitted ? lastStableOffset : log.lastStableOffset,
          logStartOffset: log.startOffset,
          abortedTransactions: readCommitted ? log.abortedWithin(offset, plan.endOffset) : null,
          records: new LocalRecordBytes(plan.extents, this.#sources),
        })
      } catch (error) {
        // The log, or this part of it, may have been deleted while its index was loaded.
        const now = this.#logToRead(request)
        const { startOffset: logStartOffset, highWatermark } = log
        results.push(
          'error' in now ? now : { error: readFailed(this.location, error), logStartOffset, highWatermark },
        )
      } finally {
        plan.release()
      }
    }
    return results
  }

  /** The log a request is for, or the answer that refuses it. */
  #logToRead({ logId, offset }: ReadRequest): LogHead | Extract<ReadResult, { error: StorageError }> {
    if (this.#closing !== null) {
      const error = new StorageError('CLOSED', 'the store is closed')
      return { error, logStartOffset: -1, highWatermark: -1 }
    }
    const log = this.storeState.logs.get(logId)
    if (log === undefined) {
      const error = new StorageError('UNKNOWN_LOG', `log ${logId} does not exist`)
      return { error, logStartOffset: -1, highWatermark: -1 }
    }
    const { startOffset, highWatermark } = log
    if (offset >= startOffset && offset <= highWatermark) return log
    const error = new StorageError(
      'OFFSET_OUT_OF_RANGE',
      `offset ${offset} is outside ${startOffset}–${highWatermark}`,
    )
    return { error, logStartOffset: startOffset, highWatermark }
  }

  async #plan(plan: ReadPlan, log: LogHead, offset: Offset): Promise<void> {
    if (plan.isFull) {
      plan.endOffset = offset
      return
    }
    const tail = this.#index.tail(log.id, offset)
    if (tail !== null) {
      plan.take(tail)
      return
    }
    for await (const slice of this.#index.slices(log.id, offset)) if (!plan.take(slice)) return
  }

  async offsetForTime(id: LogId, timestampMs: number | 'max'): Promise<OffsetAndTimestamp | null> {
    this.assertOpen()
    return await offsetForTime(this.log(id), timestampMs, this.#index, this.#sources)
  }

  async expiredUpTo(id: LogId, limits: RetentionLimits): Promise<Offset> {
    this.assertOpen()
    return await this.#index.expiredUpTo(this.log(id), limits).catch(this.#readFailed)
  }

  /** Removes full files in which no log has anything left, and rewrites what is worth it. */
  async maintain(
    { maxBytes }: MaintenanceBudget,
    policyOf?: (topic: Topic) => KeepingPolicy,
  ): Promise<MaintenanceProgress> {
    const removal = this.#background.then(() => this.#removeDeadFiles(maxBytes))
    // A failure is the caller's to know; what comes after it in the background goes on.
    this.#background = removal.catch(() => undefined)
    await removal.catch((error: unknown) => {
      throw maintenanceError(error)
    })
    const isIdle = policyOf === undefined || this.#closing !== null || this.#commit.failure !== null
    return isIdle ? { bytes: 0, isMore: false } : await this.#maintenance.step(maxBytes, policyOf)
  }

  maintenanceMetrics(): MaintenanceMetrics {
    const files = [...this.#fullFiles.all, this.#currentFile]
    const segments = files.filter(({ isSegment }) => isSegment).length
    const fileBytes = files.reduce((sum, { endPosition }) => sum + endPosition, 0)
    const { liveBytes } = this
    return this.counters.snapshot({ logFiles: files.length - segments, segments, fileBytes, liveBytes })
  }

  async storageOf(id: LogId, policy: CompactionPolicy | null): Promise<LogStorage> {
    this.assertOpen()
    const log = this.log(id)
    try {
      const active = this.#index.activeOf(id)
      const inFiles = { files: active === null ? 0 : 1, segments: 0, heldBytes: active?.sizeBytes ?? 0 }
      for await (const { file, directory } of this.#index.rangesOf(id)) {
        inFiles.files++
        if (file.isSegment) inFiles.segments++
        inFiles.heldBytes += directory.sizeBytes
      }
      const compaction = policy === null ? null : await this.#maintenance.compactionOf(log, policy)
      return { ...inFiles, compaction }
    } catch (error) {
      throw readFailed(this.location, error)
    }
  }

  async #removeDeadFiles(maxBytes: number): Promise<void> {
    const dead = this.#fullFiles.dead(this.#checkpointFileNumber)
    if (dead.length === 0) return
    // Else the power might fail, and the deletion that freed the files be undone without them.
    await this.#makeDurable()
    if (!this.#isCheckpointDurable) await this.#checkpoint().catch(exceptNoRoom)
    let freedBytes = 0
    for (const file of dead) {
      if (freedBytes >= maxBytes) return
      // Its last reader would give its space back in one go.
      if (file.isHeld && !this.#removalPace.isHurried()) {
        file.whenFree(() => this.#freeSpace())
        continue
      }
      await this.#fullFiles.remove(file, this.#removalPace)
      if (file.isSegment) this.storeState.segments.delete(file.number)
      freedBytes += file.endPosition
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.waiters.close()
    try {
      await releaseAll([
        // Where the rewriting under way cannot be given up, all else is written and closed nevertheless.
        () => this.#maintenance.stop(),
        () => this.#finish(),
        () => this.#commit.abandon(),
        () => releaseAll([...this.#unsynced].map((full) => () => full.handle.close())),
        () => releaseAll([...this.#fullFiles.all, this.#currentFile].map((file) => () => file.close())),
        () => this.#lock.release(),
      ])
    } catch (error) {
      if (error instanceof StorageError) throw error
      const reason = error instanceof Error ? error.message : String(error)
      throw new StorageError('WRITER_FAILED', `closing ${this.location} failed: ${reason}`, {
        inDoubt: this.durability === 'os',
        cause: error,
      })
    }
  }

  /** Writes what has to be written, and leaves the clean mark. */
  async #finish(): Promise<void> {
    // One may read an index before it writes its event, which must not come after the file is closed: its
    // descriptor may be another file's by then.
    await this.changesMade()
    await this.#commit.idle()
    await this.#background
    await this.#supply.close()
    // After a failed write nobody knows what is on disk: the next start finds out, from the last checkpoint.
    if (this.#commit.failure !== null) return
    await this.#commit.close(async () => {
      const checkpoint = await this.#durableCheckpoint()
      await this.#writeCheckpoint(checkpoint).catch((error: unknown) => {
        // Everything acknowledged is on disk all the same: the next start only replays more of the log.
        this.#log.warn({ error: String(error) }, 'could not write the checkpoint')
      })
    })
  }

  protected async commitEvent(event: StoreEvent): Promise<void> {
    try {
      await this.#commit.commitEvent(event)
    } catch (error) {
      const makesRoom = event.type === 'topic-deleted' || event.type === 'log-start-advanced'
      if (!makesRoom || !(error instanceof StorageError) || error.code !== 'DISK_FULL') throw error
      await this.#reserve.use(
        () => this.#commit.idle(),
        () => this.#commit.commitEvent(event),
      )
      // What the full disk had prevented may keep files that could go.
      this.#inBackground('write a checkpoint', async () => {
        await this.#writeCheckpoint(await this.#durableCheckpoint())
      })
    }
  }

  /** Applies an event as soon as it is durable: the next group may belong to the next file already. */
  #applyEvent(event: StoreEvent): void {
    const deleted = event.type === 'topic-deleted' ? (this.topics.byId(event.id)?.logs ?? []) : []
    this.storeState.apply(event)
    this.#index.remove(deleted)
    if (event.type === 'log-start-advanced') this.#index.trim(event.logId, event.to)
    if (event.type === 'segment-added') this.#segmentCounts(this.#newSegments.get(event.number)!)
  }

  async #leaveFile(): Promise<void> {
    this.#fileToLeave = this.#currentFile
    await this.commitEvent({ type: 'file-left' })
  }

  /** The segment takes the place of what it covers in the moment in which that is durable. */
  #addSegment(segment: WrittenSegment, compaction: Omit<Compacted, 'freedBytes'> | null): Promise<void> {
    return this.inTurn(async () => {
      const { number, endPosition } = segment.file
      const compacted = compaction === null ? null : await this.#compacted(segment, compaction)
      this.#newSegments.set(number, segment)
      try {
        await this.commitEvent({ type: 'segment-added', number, compacted })
        this.counters.segmentAdded(endPosition, compaction === null ? 'merge' : 'compaction')
      } finally {
        this.#newSegments.delete(number)
      }
    })
  }

  async #compacted(
    { logs: [rewritten] }: WrittenSegment,
    compaction: Omit<Compacted, 'freedBytes'>,
  ): Promise<Compacted | null> {
    const log = this.storeState.logs.get(compaction.logId)
    if (log === undefined || rewritten === undefined) return null
    const { firstOffset, endOffset, batches } = rewritten
    const before =
      (await this.bytesBefore(log, endOffset)) -
      (await this.bytesBefore(log, Math.max(firstOffset, log.startOffset)))
    const after = bytesWithin(batches, log.startOffset, endOffset, endOffset)
    return { ...compaction, freedBytes: before - after }
  }

  #segmentCounts({ file, directory }: WrittenSegment): void {
    this.#fullFiles.addSegment(file, () =>
      this.#index.addFile(file, directory, (entry) => this.storeState.isLive(entry)),
    )
    this.#inBackground('give back the space of what was rewritten', async () => {
      await this.#checkpoint()
      await this.#removeDeadFiles(Number.POSITIVE_INFINITY)
    })
  }

  protected bytesBefore(log: LogHead, to: Offset): Promise<number> {
    return this.#index.bytesBefore(log, to).catch(this.#readFailed)
  }

  readonly #readFailed = (error: unknown): never => {
    throw readFailed(this.location, error)
  }

  protected logsDeleted(): void {
    this.#freeSpace()
  }

  protected startAdvanced(): void {
    this.#freeSpace()
  }

  #freeSpace(): void {
    if (this.#closing !== null) return
    this.#inBackground('free the space of deleted records', async () => {
      await this.#removeDeadFiles(Number.POSITIVE_INFINITY)
      await this.#reserve.fill()
    })
  }

  protected assertOpen(): void {
    if (this.#closing !== null) throw new StorageError('CLOSED', 'the store is closed')
  }

  #fileFull(full: WritableLogFile, next: LogFile): void {
    const index = this.#index.seal(next, (logId) => this.storeState.logs.get(logId)!)
    this.#currentFile = next
    this.#fullFiles.add(full.file)
    if (this.durability === 'os') this.#unsynced.add(full)
    this.#inBackground('write the index of a full log file', async () => {
      await this.#syncFull(full)
      await giveBackPrepared(full).catch((error: unknown) =>
        this.#log.warn({ error: String(error) }, 'could not give back what a full file did not need'),
      )
      await full.handle.close()
      // Its records may all be gone by now, and the file with them.
      if (this.#fullFiles.all.includes(full.file)) {
        await this.#files.replaceIndex(full.file, index)
        this.#index.persisted(full.file)
      }
      await this.#checkpoint()
      await this.#removeDeadFiles(Number.POSITIVE_INFINITY)
    })
  }

  async #checkpoint(): Promise<void> {
    const checkpointed = this.#fullFiles.beforeCheckpoint()
    await this.#writeCheckpoint(await this.#durableCheckpoint())
    checkpointed()
  }

  /** A checkpoint says that the log is on disk up to its end, so that is made true first. */
  async #durableCheckpoint(): Promise<Checkpoint> {
    for (const log of this.storeState.logs.values()) log.expireProducers(this.clock())
    const checkpoint = takeCheckpoint(
      this.clusterId,
      this.#commit.durableEnd,
      this.storeState,
      this.#commit.durableProducers(),
    )
    await this.#makeDurable()
    return checkpoint
  }

  /** `os` durability: what was committed until now reaches the disk. Otherwise it has already. */
  async #makeDurable(): Promise<void> {
    if (this.durability === 'fsync') return
    for (const full of this.#unsynced) await this.#syncFull(full)
    await this.#synced(() => this.#commit.sync())
    await this.#files.syncFolder()
  }

  async #writeCheckpoint(checkpoint: Checkpoint): Promise<void> {
    await writeCheckpoint(this.#fileSystem, this.location, checkpoint)
    this.#checkpointFileNumber = checkpoint.end.fileNumber
    this.#isCheckpointDurable = true
  }

  async #syncFull(full: WritableLogFile): Promise<void> {
    if (!this.#unsynced.has(full)) return
    await this.#synced(() => full.handle.sync())
    this.#unsynced.delete(full)
  }

  /** After one failed sync the next one would succeed, and say nothing of what the first one lost. */
  async #synced(sync: () => Promise<void>): Promise<void> {
    const failure = this.#syncFailure ?? this.#commit.failure
    if (failure !== null) throw failure
    try {
      await sync()
    } catch (error) {
      throw this.#syncFailed(error)
    }
  }

  #syncFailed(error: unknown): StorageError {
    const message = `syncing ${this.location} failed: ${String(error)}`
    this.#syncFailure ??= new StorageError('WRITER_FAILED', message, { inDoubt: true, cause: error })
    this.#commit.stop(error)
    return this.#syncFailure
  }

  #inBackground(what: string, work: () => Promise<void>): void {
    this.#background = this.#background.then(work).catch((error: unknown) => {
      // Nothing is lost: a start without it replays more of the log.
      this.#log.warn({ error: String(error) }, `could not ${what}`)
      this.counters.failed(this.clock(), `could not ${what}: ${String(error)}`)
    })
  }
}
