import { basename, join } from 'node:path'
import { lookupTimestampOf } from '../batch-timestamp.ts'
import { StorageError } from '../log-store.ts'
import type { StoreEvent, StoreState } from '../store-state.ts'
import { alignedMemory } from './aligned-memory.ts'
import { type Checkpoint, type LogPosition, restoreState } from './checkpoint.ts'
import type { DiskAccess } from './disk-access.ts'
import { errorCodeOf, type FileSystem, isNoRoom, removeIfPresent, type StorageFile } from './file-system.ts'
import { GatheredIndex } from './gathered-index.ts'
import { GroupScan, type ScannedGroup } from './group-scan.ts'
import { directoryEntries, directoryIsIntact, directoryLength, INDEX_HEADER_BYTES } from './index-file.ts'
import { IndexParts } from './index-parts.ts'
import { removeLeftovers } from './leftovers.ts'
import { fileNumberOf, type LogFile, type LogFileFactory, numbersIn, segmentNumberOf } from './log-files.ts'
import { EntryKind, entryIsIntact, FILE_HEADER_BYTES, fileHeaderFault } from './log-format.ts'
import { OffsetIndex } from './offset-index.ts'
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES, type Segment } from './segment-file.ts'
import { setAside } from './setting-aside.ts'

/**
 * From a data folder to a running store: the checkpoint, and every group written after it.
 *
 * The end of the log is the first place where no group continues the one before. That is where a crash cut
 * the last writes, unless a group further on says that what is missing had been on disk: each group names the
 * highest sequence known to be durable when it was written. Then acknowledged records were damaged, and the
 * store refuses to start rather than give their offsets again.
 */
export interface RecoveryOptions {
  readonly fileSystem: FileSystem
  /** The `log` folder. */
  readonly folder: string
  readonly storeId: Uint8Array
  readonly checkpoint: Checkpoint
  readonly files: LogFileFactory
  readonly maxLoadedIndexBytes: number
  readonly disk: DiskAccess
  /** `truncate`: keep what precedes the damage, set the rest aside as `….damaged` files, and start. */
  readonly onDamage: 'refuse' | 'truncate'
  warn(facts: Record<string, unknown>, message: string): void
}

export interface Recovered {
  readonly state: StoreState
  readonly index: OffsetIndex
  /** The last file, null in an empty folder. Its `endPosition` is the end of the log. */
  readonly lastFile: LogFile | null
  readonly fullFiles: LogFile[]
  readonly end: LogPosition
  /** Groups replayed after the checkpoint. */
  readonly replayedGroups: number
}

export async function recover(options: RecoveryOptions): Promise<Recovered> {
  return new Recovery(options).run()
}

class Recovery {
  readonly #options: RecoveryOptions
  readonly #state: StoreState
  readonly #fullFiles: LogFile[] = []
  /** Of files that were found full: written when nothing can be refused any more. */
  readonly #indexes: {
    readonly file: LogFile
    readonly bytes: Uint8Array
  }[] = []
  readonly #opened = new Set<LogFile>()
  #end: LogPosition
  #replayedGroups = 0
  /** Damage was cut off the end of the log. */
  #isCut = false

  constructor(options: RecoveryOptions) {
    this.#options = options
    this.#state = restoreState(options.checkpoint)
    this.#end = options.checkpoint.end
  }

  async run(): Promise<Recovered> {
    try {
      return await this.#recover()
    } catch (error) {
      for (const file of this.#opened) await file.close()
      throw error
    }
  }

  async #recover(): Promise<Recovered> {
    const { fileSystem, folder, files, checkpoint, maxLoadedIndexBytes, disk } = this.#options
    const names = await fileSystem.list(folder)
    const numbers = numbersIn(names, fileNumberOf)
    const start = checkpoint.end
    const first = files.existing(start.fileNumber, start.position)
    const index = new OffsetIndex(first, new IndexParts(maxLoadedIndexBytes, disk))
    if (!numbers.includes(start.fileNumber)) {
      // Its name was durable before the next one was made.
      const isExpected =
        start.position > FILE_HEADER_BYTES || numbers.some((number) => number > start.fileNumber)
      if (isExpected) throw this.#damage(first.path, 0, 'the file is missing')
    }
    for (const number of numbers) {
      if (number < start.fileNumber) await this.#addFullFile(index, number)
    }
    const lastFile = numbers.includes(start.fileNumber)
      ? await this.#replay(index, first, new Set(numbers))
      : null
    const uncounted = await this.#addSegments(index, names)
    for (const log of this.#state.logs.values()) {
      const missing = index.missingOffset(log.id, log.startOffset, log.nextOffset)
      if (missing === null) continue
      const topic = this.#state.topics.byId(log.topicId)
      const name = `'${topic?.name}'-${topic?.logs.indexOf(log.id)}`
      throw this.#damage(folder, null, `the file with offset ${missing} of ${name} is missing`)
    }
    for (const { file, bytes } of this.#indexes) {
      try {
        await files.replaceIndex(file, bytes)
        index.persisted(file)
      } catch (error) {
        // What it holds is in memory, too.
        if (!isNoRoom(error)) throw error
        this.#options.warn({ file: file.indexPath }, 'no room for the index: the next start makes it again')
      }
    }
    for (const number of uncounted) await this.#removeUncounted(number)
    await removeLeftovers(fileSystem, folder, names, this.#options.warn)
    if (lastFile === null) await this.#removeFiles(numbers.filter((number) => number > start.fileNumber))
    // The file goes on growing: an index from a time when it had seemed full would hide what is added.
    if (lastFile !== null) await removeIfPresent(fileSystem, lastFile.indexPath)
    return {
      state: this.#state,
      index,
      lastFile,
      fullFiles: this.#fullFiles,
      end: this.#end,
      replayedGroups: this.#replayedGroups,
    }
  }

  async #replay(index: OffsetIndex, first: LogFile, numbers: ReadonlySet<number>): Promise<LogFile | null> {
    const { checkpoint, files } = this.#options
    let file = first
    for (;;) {
      const { scan, fault } = await this.#openScan(file)
      if (fault !== null) {
        if (checkpoint.end.position > FILE_HEADER_BYTES) throw this.#damage(file.path, 0, fault)
        // Created, and the crash came before its header was on disk: then there is nothing in it.
        await this.#checkForDamage(file, scan, FILE_HEADER_BYTES, numbers)
        await file.close()
        return null
      }
      let position = FILE_HEADER_BYTES
      while (file === first && position < checkpoint.end.position) {
        const group = await scan.groupAt(position)
        if (group === null)
          throw this.#damage(file.path, position, 'a group before the checkpoint is damaged')
        this.#index(index, group)
        position += group.header.lengthBytes
      }
      for (;;) {
        const group = await scan.groupAt(position)
        if (group === null || !this.#continues(group)) break
        this.#replayGroup(index, group)
        position += group.header.lengthBytes
        this.#end = {
          fileNumber: file.number,
          position,
          sequence: group.header.sequence,
          chain: group.crc,
        }
      }
      file.endPosition = position
      file.committedEnd = position
      const next = files.existing(file.number + 1, FILE_HEADER_BYTES)
      if (!numbers.has(next.number) || !(await this.#beginsHere(next))) {
        await this.#checkForDamage(file, scan, position, numbers)
        if (this.#end.fileNumber !== file.number)
          this.#end = { ...this.#end, fileNumber: file.number, position }
        if (position > FILE_HEADER_BYTES) return file
        // Nothing was written to it: perhaps because its name could not be made durable, which no later sync would mend.
        await file.close()
        return null
      }
      await this.#seal(index, file, next)
      file = next
    }
  }

  #continues(group: ScannedGroup): boolean {
    return (
      group.header.sequence === this.#end.sequence + 1 &&
      group.header.chain === this.#end.chain &&
      group.entries.every((entry) => entryIsIntact(group.bytes, entry))
    )
  }

  async #beginsHere(file: LogFile): Promise<boolean> {
    const { scan, fault } = await this.#openScan(file)
    const group = fault === null ? await scan.groupAt(FILE_HEADER_BYTES) : null
    await file.pause()
    return group !== null && this.#continues(group)
  }

  /** `fault` tells of a header that a crash may have left torn. Refuses files of a newer format or another store. */
  async #openScan(file: LogFile): Promise<{ scan: GroupScan; fault: string | null }> {
    const { fileSystem, storeId } = this.#options
    this.#opened.add(file)
    const handle = await fileSystem.open(file.path, {
      access: 'read',
      direct: false,
      writesAreDurable: false,
    })
    const sizeBytes = await handle.sizeBytes().finally(() => handle.close())
    const header = alignedMemory(FILE_HEADER_BYTES)
    const headerBytes = await file.readBlocks(header, 0)
    const fault = fileHeaderFault(header.subarray(0, headerBytes), file.number, storeId)
    if (fault?.kind === 'newer') {
      throw new StorageError(
        'DATA_NEWER_FORMAT',
        `${file.path} has ${fault.fault}: start it with the newer release that wrote it`,
      )
    }
    if (fault?.kind === 'foreign') throw this.#damage(file.path, 0, fault.fault)
    return { scan: new GroupScan(file, sizeBytes), fault: fault?.fault ?? null }
  }

  /** Only the places of the batches: their effects are in the checkpoint. */
  #index(index: OffsetIndex, group: ScannedGroup): void {
    for (const entry of group.entries) {
      if (entry.kind !== EntryKind.batch || !this.#state.logs.has(entry.logId)) continue
      const maxTimestampMs = lookupTimestampOf(group.bytes, entry.position)
      index.add(
        entry.logId,
        entry.baseOffset,
        group.position + entry.position,
        entry.lengthBytes,
        maxTimestampMs,
      )
    }
  }

  #replayGroup(index: OffsetIndex, group: ScannedGroup): void {
    this.#replayedGroups++
    for (const entry of group.entries) {
      if (entry.kind === EntryKind.event) {
        const body = group.bytes.subarray(entry.position, entry.position + entry.lengthBytes)
        this.#replayEvent(index, JSON.parse(Buffer.from(body).toString('utf8')) as StoreEvent)
        continue
      }
      const log = this.#state.logs.get(entry.logId)
      // A batch may follow the deletion of its topic in the log; it was never acknowledged.
      if (log === undefined) continue
      if (entry.baseOffset !== log.nextOffset) {
        throw new Error(
          `invariant: log ${log.id} continues at ${entry.baseOffset} instead of ${log.nextOffset}`,
        )
      }
      log.replay(group.bytes, entry.position, entry.baseOffset, entry.lengthBytes, group.header.writtenAtMs)
      const maxTimestampMs = lookupTimestampOf(group.bytes, entry.position)
      index.add(log.id, entry.baseOffset, group.position + entry.position, entry.lengthBytes, maxTimestampMs)
    }
  }

  #replayEvent(index: OffsetIndex, event: StoreEvent): void {
    const deleted = event.type === 'topic-deleted' ? (this.#state.topics.byId(event.id)?.logs ?? []) : []
    this.#state.apply(event)
    index.remove(deleted)
    if (event.type === 'log-start-advanced') index.trim(event.logId, event.to)
  }

  async #seal(index: OffsetIndex, file: LogFile, next: LogFile): Promise<void> {
    const bytes = index.seal(next, (logId) => this.#state.logs.get(logId)!)
    this.#indexes.push({ file, bytes })
    this.#fullFiles.push(file)
    await file.pause()
  }

  async #addFullFile(index: OffsetIndex, number: number): Promise<void> {
    const { files } = this.#options
    const file = files.existing(number, 0)
    const found = await this.#readDirectory(file)
    const rebuilt = found === null ? await this.#rebuildIndex(file) : null
    const directory = found ?? rebuilt!.subarray(0, directoryLength(rebuilt!)!)
    file.endPosition = FILE_HEADER_BYTES + batchBytesIn(directory)
    file.committedEnd = Number.MAX_SAFE_INTEGER
    index.addFile(file, directory, (entry) => this.#state.isLive(entry), rebuilt)
    this.#fullFiles.push(file)
  }

  /**
   * Puts the segments that count in the place of what they cover, oldest first, as it was done. One that is gone had
   * nothing left that counted, or else the offsets it held are missed below. Gives the numbers of those that do not
   * count.
   */
  async #addSegments(index: OffsetIndex, names: readonly string[]): Promise<number[]> {
    const { segments } = this.#state
    const present = numbersIn(names, segmentNumberOf)
    for (const number of [...segments]) if (!present.includes(number)) segments.delete(number)
    for (const number of present) {
      if (!segments.has(number)) continue
      const { file, directory } = await this.#openSegment(number)
      index.addFile(file, directory, (entry) => this.#state.isLive(entry))
      this.#fullFiles.push(file)
    }
    this.#state.nextSegmentNumber = Math.max(this.#state.nextSegmentNumber, (present.at(-1) ?? 0) + 1)
    return present.filter((number) => !segments.has(number))
  }

  async #openSegment(number: number): Promise<Segment> {
    const { fileSystem, files, storeId } = this.#options
    const path = files.segmentPathOf(number)
    const handle = await fileSystem.open(path, { access: 'read', direct: false, writesAreDurable: false })
    try {
      const bytes = new Uint8Array(SEGMENT_HEADER_BYTES)
      const headerBytes = await handle.read(bytes, 0)
      const header = decodeSegmentHeader(bytes.subarray(0, headerBytes), number, storeId)
      if ('fault' in header) {
        if (header.kind === 'damaged') throw this.#damage(path, 0, header.fault)
        throw new StorageError(
          'DATA_NEWER_FORMAT',
          `${path} has ${header.fault}: start it with the newer release that wrote it`,
        )
      }
      const { indexPosition, indexLength } = header
      const sizeBytes = await handle.sizeBytes()
      const isWhole = indexPosition + indexLength <= sizeBytes
      const directory = isWhole ? await directoryAt(handle, indexPosition, indexLength, number) : null
      if (directory === null) throw this.#damage(path, indexPosition, 'its index is damaged')
      const file = files.segment(number, sizeBytes, indexPosition, batchBytesIn(directory))
      return { file, directory }
    } finally {
      await handle.close()
    }
  }

  /** A crash came before it counted. Where the log was cut, what it holds may be all there is: it is set aside. */
  async #removeUncounted(number: number): Promise<void> {
    const { fileSystem, files } = this.#options
    const path = files.segmentPathOf(number)
    if (!this.#isCut) return await removeIfPresent(fileSystem, path)
    await fileSystem.rename(path, `${path}.damaged`)
    await files.syncFolder()
  }

  /** Nothing counts in them. Should the file before them not come into being, they would say that it is missing. */
  async #removeFiles(numbers: readonly number[]): Promise<void> {
    const { fileSystem, files } = this.#options
    for (const number of numbers) await removeIfPresent(fileSystem, files.pathOf(number))
    if (numbers.length > 0) await files.syncFolder()
  }

  async #readDirectory(file: LogFile): Promise<Uint8Array | null> {
    let handle: StorageFile
    try {
      handle = await this.#options.fileSystem.open(file.indexPath, {
        access: 'read',
        direct: false,
        writesAreDurable: false,
      })
    } catch (error) {
      if (errorCodeOf(error) === 'ENOENT') return null
      throw error
    }
    try {
      return await directoryAt(handle, 0, await handle.sizeBytes(), file.number)
    } finally {
      await handle.close()
    }
  }

  /** Reads a full log file again for the index it should have had. */
  async #rebuildIndex(file: LogFile): Promise<Uint8Array> {
    const { warn } = this.#options
    warn({ file: file.indexPath }, 'index missing or damaged: building it again from the log file')
    const { scan, fault } = await this.#openScan(file)
    if (fault !== null) throw this.#damage(file.path, 0, fault)
    const index = new GatheredIndex()
    let position = FILE_HEADER_BYTES
    let last: { sequence: number; crc: number } | null = null
    for (;;) {
      const group = await scan.groupAt(position)
      if (group === null) break
      const { sequence, chain } = group.header
      // Left by a write that a crash or a full disk undid, behind the end of the log at that time.
      if (last !== null && (sequence !== last.sequence + 1 || chain !== last.crc)) break
      last = { sequence, crc: group.crc }
      for (const entry of group.entries) index.add(group, entry)
      position += group.header.lengthBytes
    }
    if ((await this.#claimAfter(file, scan, position, (last?.sequence ?? 0) + 1)) !== null) {
      throw this.#damage(file.path, position, 'a group is damaged')
    }
    const bytes = index.encode(file.number)
    this.#indexes.push({ file, bytes })
    await file.pause()
    return bytes
  }

  /** Nothing continues the log at `position`: was that the last write, or is something missing? */
  async #checkForDamage(
    file: LogFile,
    scan: GroupScan,
    position: number,
    numbers: ReadonlySet<number>,
  ): Promise<void> {
    const missing = this.#end.sequence + 1
    const later = [...numbers].filter((number) => number > file.number).sort((a, b) => a - b)
    const claim = (await this.#claimAfter(file, scan, position, missing)) ?? (await this.#claimIn(later))
    if (claim === null) return
    const fault = `group ${missing} is missing or damaged, and ${claim.path} at byte ${claim.position} says that it had been on disk`
    if (this.#options.onDamage === 'refuse') {
      throw this.#damage(
        file.path,
        position,
        fault,
        `, or start once with --truncate-damaged to give up every record from there on (the damaged bytes are kept beside it); \`streambus log repair ${join(this.#options.folder, '..')} --truncate-at ${basename(file.path)}:${position}\` does the same and says before what is lost`,
      )
    }
    this.#options.warn({ file: file.path, position }, `damaged log cut: ${fault}`)
    const { fileSystem, folder, files } = this.#options
    await setAside(
      fileSystem,
      folder,
      { path: file.path, scan },
      position,
      later.map((number) => files.pathOf(number)),
    )
    this.#isCut = true
  }

  /** Where a group at or after `position` says that `sequence` is on disk. */
  async #claimAfter(
    file: LogFile,
    scan: GroupScan,
    position: number,
    sequence: number,
  ): Promise<{ path: string; position: number } | null> {
    for (let at = position; ; ) {
      const group = await scan.nextGroup(at)
      if (group === null) return null
      if (group.header.durableSequence >= sequence) return { path: file.path, position: group.position }
      at = group.position + group.header.lengthBytes
    }
  }

  /** Where a group in these files says that something beyond the end of the log is on disk. */
  async #claimIn(numbers: readonly number[]): Promise<{ path: string; position: number } | null> {
    for (const number of numbers) {
      const file = this.#options.files.existing(number, 0)
      const { scan } = await this.#openScan(file)
      const claim = await this.#claimAfter(file, scan, FILE_HEADER_BYTES, this.#end.sequence + 1)
      await file.pause()
      if (claim !== null) return claim
    }
    return null
  }

  #damage(path: string, position: number | null, fault: string, otherWayOut = ''): StorageError {
    const place = position === null ? '' : ` at byte ${position}`
    const dataDir = join(this.#options.folder, '..')
    return new StorageError(
      'DATA_DAMAGED',
      `${path} is damaged${place}: ${fault}. Restore the data folder ${dataDir} from a backup${otherWayOut}. \`streambus log check ${dataDir}\` lists all that is damaged`,
    )
  }
}

/** Header and directory of an index of `indexLength` bytes, or null where they are damaged. */
async function directoryAt(
  handle: StorageFile,
  indexPosition: number,
  indexLength: number,
  fileNumber: number,
): Promise<Uint8Array | null> {
  const header = new Uint8Array(INDEX_HEADER_BYTES)
  const length = directoryLength(header.subarray(0, await handle.read(header, indexPosition)))
  if (length === null || length > indexLength) return null
  const directory = new Uint8Array(length)
  await handle.read(directory, indexPosition)
  return directoryIsIntact(directory, fileNumber) ? directory : null
}

function batchBytesIn(directory: Uint8Array): number {
  let bytes = 0
  for (const { sizeBytes } of directoryEntries(directory)) bytes += sizeBytes
  return bytes
}
