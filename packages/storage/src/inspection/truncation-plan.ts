import { basename } from 'node:path'
import { batchHeader } from '@streambus/protocol'
import { fileNumberOf, logFileName, segmentFileName } from '../local/log-files.ts'
import { EntryKind, FILE_HEADER_BYTES } from '../local/log-format.ts'
import { type LogId, type Offset, StorageError } from '../log-store.ts'
import type { StoreEvent } from '../store-state.ts'
import type { DataFolderInspection } from './data-folder-inspection.ts'
import { LogCatalog } from './log-catalog.ts'
import { type LogStep, walkLog } from './log-walk.ts'

/** What a log loses when it is cut. */
export interface LostOffsets {
  readonly logId: LogId
  /** Null where the topic was deleted and nothing says its name any more. */
  readonly topic: string | null
  readonly partition: number | null
  readonly firstOffset: Offset
  /** Exclusive. */
  readonly endOffset: Offset
  /** Of the batches that can be read, also of those that lie in what is cut but did not count any more. */
  readonly records: number
  readonly bytes: number
}

export interface TruncationPlan {
  readonly file: string
  readonly position: number
  readonly lost: readonly LostOffsets[]
  /** Bytes in what is cut that cannot be read: nobody knows what lay there. */
  readonly unreadableBytes: number
  /** Changes that are no records (topics made, deleted or set up, starts moved): at most 100 of `changeCount`. */
  readonly changes: readonly StoreEvent[]
  readonly changeCount: number
  /** Names in the `log` folder that are renamed to `….damaged`: later files, and segments that no longer count. */
  readonly setAside: readonly string[]
  /** The cut lies before the end of the checkpoint: a start then reads the whole log again. */
  readonly needsNewCheckpoint: boolean
}

const MAX_CHANGES = 100

interface CutLog {
  first: Offset | null
  end: Offset
  records: number
  bytes: number
}

/**
 * What happens when the log ends before `position` in the log file. Throws StorageError: DATA_NOT_FOUND where there is
 * no such file, REPAIR_REFUSED where no group begins there, where a start would be refused all the same, or where the
 * checkpoint that is needed cannot be made.
 */
export async function planTruncation(
  inspection: DataFolderInspection,
  fileName: string,
  position: number,
): Promise<TruncationPlan> {
  const number = fileNumberOf(fileName)
  if (number === null || !inspection.fileNumbers.includes(number)) {
    throw new StorageError('DATA_NOT_FOUND', `${inspection.folder} has no log file '${fileName}'`)
  }
  if (position >= FILE_HEADER_BYTES) return await new Cut(inspection, number, position).plan()
  if (!inspection.fileNumbers.includes(number - 1)) {
    throw refused(`nothing of the log would be left before ${fileName}`)
  }
  // The whole file goes: the log ends where the one before it does.
  let end = FILE_HEADER_BYTES
  for await (const step of walkLog(inspection, { only: number - 1 })) {
    if (step.kind === 'file-end') end = step.position
  }
  return await new Cut(inspection, number - 1, end).plan()
}

class Cut {
  readonly #inspection: DataFolderInspection
  readonly #number: number
  readonly #position: number
  readonly #catalog: LogCatalog
  readonly #needsNewCheckpoint: boolean
  readonly #keptEnds = new Map<LogId, Offset>()
  readonly #cut = new Map<LogId, CutLog>()
  /** Segments that count after the cut. */
  readonly #keptSegments: Set<number>
  readonly #changes: StoreEvent[] = []
  #changeCount = 0
  #unreadableBytes = 0
  #isAtBoundary = false
  #boundaryBefore = FILE_HEADER_BYTES

  constructor(inspection: DataFolderInspection, number: number, position: number) {
    const { checkpoint } = inspection
    this.#inspection = inspection
    this.#number = number
    this.#position = position
    this.#catalog = new LogCatalog(checkpoint)
    const end = checkpoint?.end
    this.#needsNewCheckpoint =
      end === undefined || number < end.fileNumber || (number === end.fileNumber && position < end.position)
    this.#keptSegments = new Set(this.#needsNewCheckpoint ? [] : checkpoint?.segments)
    for (const [logId, , endOffset] of checkpoint?.logs ?? []) {
      if (this.#needsNewCheckpoint) this.#cutOf(logId).end = endOffset
      else this.#keptEnds.set(logId, endOffset)
    }
  }

  async plan(): Promise<TruncationPlan> {
    const { fileNumbers, segmentNumbers } = this.#inspection
    const name = logFileName(this.#number)
    if (this.#needsNewCheckpoint) this.#requireAllFiles()
    for await (const step of walkLog(this.#inspection)) this.#take(step)
    if (!this.#isAtBoundary) {
      throw refused(
        `no group begins at byte ${this.#position} of ${name}: the last place before it where one does, or where the log ends, is byte ${this.#boundaryBefore}`,
      )
    }
    const later = fileNumbers.filter((number) => number > this.#number).map(logFileName)
    const segments = segmentNumbers.filter((number) => !this.#keptSegments.has(number)).map(segmentFileName)
    return {
      file: name,
      position: this.#position,
      lost: this.#lost(),
      unreadableBytes: this.#unreadableBytes,
      changes: this.#changes,
      changeCount: this.#changeCount,
      setAside: [...later, ...segments],
      needsNewCheckpoint: this.#needsNewCheckpoint,
    }
  }

  /** A checkpoint for a place before its end is made by replaying everything: all of it has to be there. */
  #requireAllFiles(): void {
    const { fileNumbers, storeId } = this.#inspection
    for (let number = 1; number < this.#number; number++) {
      if (fileNumbers.includes(number)) continue
      throw refused(
        `the cut lies before the end of the checkpoint, and a new checkpoint can only be made from all log files since the first: ${logFileName(number)} is gone, as retention and merging remove files. Restore the data folder from a backup`,
      )
    }
    if (storeId === null) throw refused('neither checkpoint nor log files say which cluster this is')
  }

  #take(step: LogStep): void {
    const { file } = step
    if (step.kind === 'unused-file' || step.kind === 'file') return
    const position = step.kind === 'group' ? step.group.position : step.position
    const isCut = file.number > this.#number || (file.number === this.#number && position >= this.#position)
    if (file.number === this.#number) {
      if (position === this.#position) this.#isAtBoundary = true
      if (position <= this.#position) this.#boundaryBefore = position
    }
    if (step.kind === 'file-end') return
    if (!isCut) this.#requireReplayable(step, position)
    if (step.kind === 'damage') {
      if (isCut) this.#unreadableBytes += step.end - step.position
      return
    }
    for (const entry of step.group.entries) {
      const isDamaged = step.damaged.has(entry)
      if (isDamaged && isCut) this.#unreadableBytes += entry.lengthBytes
      if (isDamaged) continue
      const { bytes } = step.group
      if (entry.kind === EntryKind.event) {
        const body = bytes.subarray(entry.position, entry.position + entry.lengthBytes)
        this.#event(JSON.parse(Buffer.from(body).toString()) as StoreEvent, isCut, step.isInCheckpoint)
        continue
      }
      const end = entry.baseOffset + batchHeader.lastOffsetDelta(bytes, entry.position) + 1
      if (!isCut) {
        this.#keptEnds.set(entry.logId, Math.max(end, this.#keptEnds.get(entry.logId) ?? 0))
        continue
      }
      const cut = this.#cutOf(entry.logId)
      cut.first ??= entry.baseOffset
      cut.end = Math.max(cut.end, end)
      cut.records += batchHeader.recordCount(bytes, entry.position)
      cut.bytes += entry.lengthBytes
    }
  }

  #event(event: StoreEvent, isCut: boolean, isInCheckpoint: boolean): void {
    this.#catalog.apply(event, isInCheckpoint)
    if (!isCut) {
      if (event.type === 'segment-added') this.#keptSegments.add(event.number)
      return
    }
    if (event.type === 'segment-added' || event.type === 'file-left') return
    this.#changeCount++
    if (this.#changes.length < MAX_CHANGES) this.#changes.push(event)
  }

  /** What a start replays, or passes on its way to the cut, must be sound, or it is refused all the same. */
  #requireReplayable(step: Extract<LogStep, { kind: 'group' | 'damage' }>, position: number): void {
    if (step.kind === 'group' && step.damaged.size === 0) return
    const { checkpoint } = this.#inspection
    const isReplayed = this.#needsNewCheckpoint || !step.isInCheckpoint
    const isPassed = step.kind === 'damage' && step.file.number === checkpoint?.end.fileNumber
    if (!isReplayed && !isPassed) return
    throw refused(
      `${step.file.name} is damaged at byte ${position} already, before ${logFileName(this.#number)}:${this.#position}: a start would be refused all the same. Cut there, or restore the data folder from a backup`,
    )
  }

  #cutOf(logId: LogId): CutLog {
    let cut = this.#cut.get(logId)
    if (cut === undefined) {
      cut = { first: null, end: 0, records: 0, bytes: 0 }
      this.#cut.set(logId, cut)
    }
    return cut
  }

  #lost(): LostOffsets[] {
    const lost: LostOffsets[] = []
    for (const [logId, { first, end, records, bytes }] of this.#cut) {
      const firstOffset = this.#keptEnds.get(logId) ?? first ?? this.#catalog.starts.get(logId) ?? 0
      if (end <= firstOffset) continue
      const known = this.#catalog.nameOf(logId)
      const { topic, partition } = known ?? { topic: null, partition: null }
      lost.push({ logId, topic, partition, firstOffset, endOffset: end, records, bytes })
    }
    return lost.sort((a, b) => a.logId - b.logId)
  }
}

export function refused(reason: string): StorageError {
  return new StorageError('REPAIR_REFUSED', reason)
}

/** `FILE:POSITION`, the file as a name or a path. Null where it is neither. */
export function parseCut(text: string): { file: string; position: number } | null {
  const match = /^(.+):(\d+)$/.exec(text)
  return match === null ? null : { file: basename(match[1]!), position: Number(match[2]) }
}
