import { basename, join } from 'node:path'
import { BATCH_HEADER_BYTES, batchHeader } from '@streambus/protocol'
import type { LogPosition } from '../local/checkpoint.ts'
import type { FileSystem } from '../local/file-system.ts'
import { GatheredIndex } from '../local/gathered-index.ts'
import { BATCH_BYTES, BATCH_FIELDS, decodeBatches, decodeDirectory } from '../local/index-file.ts'
import { logFileName, segmentFileName } from '../local/log-files.ts'
import { type Entry, EntryKind, FILE_HEADER_BYTES } from '../local/log-format.ts'
import type { LogId, Offset } from '../log-store.ts'
import type { StoreEvent } from '../store-state.ts'
import { crcIsValid, loadCodecOf, recordsFault } from './batch-check.ts'
import { CheckpointProducers } from './checkpoint-producers.ts'
import {
  type DataFolderInspection,
  InspectedFile,
  inspectDataFolder,
  sizeOf,
} from './data-folder-inspection.ts'
import { type CheckReport, type Finding, MAX_FINDINGS, type Note } from './finding.ts'
import { indexDifference } from './index-difference.ts'
import { displayName, LogCatalog } from './log-catalog.ts'
import { type LogStep, walkLog } from './log-walk.ts'
import { OffsetRanges } from './offset-ranges.ts'
import { walkSegment } from './segment-walk.ts'

export interface CheckOptions {
  readonly fileSystem?: FileSystem
  readonly onProgress?: (progress: { readonly bytes: number; readonly totalBytes: number }) => void
  readonly signal?: AbortSignal
}

/**
 * Verifies everything in a data folder that no broker has open, and changes nothing: checkpoint, headers, groups with
 * their sequence and chain, batches with their records, segments, indexes, and that each log is there from its start to
 * its end. Reads each file once, front to back. Needs memory for one group, for the index of one file or segment, and
 * for a few numbers per log.
 *
 * What the checkpoint says of producers and aborted transactions is compared with the batches it was made from, as far
 * as these are still in log files; what of it is gone is covered by its checksum only. Throws the StorageErrors of `inspectDataFolder`; rejects with the reason of `signal`.
 */
export function checkDataFolder(dataDir: string, options: CheckOptions = {}): Promise<CheckReport> {
  return inspectDataFolder(
    dataDir,
    (inspection) => new DataFolderCheck(inspection, options).run(),
    options.fileSystem,
  )
}

type GroupStep = Extract<LogStep, { kind: 'group' }>

/** What is not known before all of the log was seen: whether what is damaged still counted, and how to go on. */
interface Suspicion {
  readonly kind: Finding['kind']
  readonly file: string
  readonly position: number | null
  readonly problem: string
  readonly span: { readonly logId: LogId; readonly from: Offset; to: Offset | null } | null
  readonly lost: string
  remedy: 'backup' | 'truncate' | 'truncate-all' | 'indexes' | 'skip' | 'indexed'
  /** It is none where none of these logs exists at the end. */
  readonly unlessGone?: readonly LogId[]
}

class DataFolderCheck {
  readonly #inspection: DataFolderInspection
  readonly #options: CheckOptions
  readonly #catalog: LogCatalog
  readonly #producers: CheckpointProducers
  readonly #found = new OffsetRanges()
  readonly #inSegments = new OffsetRanges()
  readonly #ends = new Map<LogId, Offset>()
  readonly #suspicions: Suspicion[] = []
  #suspicionCount = 0
  /** Batches that are damaged, whose end the next batch of their log says. */
  readonly #openSpans = new Map<LogId, NonNullable<Suspicion['span']>>()
  readonly #notes: Note[] = []
  #index = new GatheredIndex()
  /** Of the file that is read: its index cannot be judged where groups are missing. */
  #isDamaged = false
  /** Of the file that is read: its header, and where no group could be read. */
  #gaps: { readonly position: number; readonly end: number; readonly suspicion: Suspicion }[] = []
  #end: LogPosition | null = null
  #checkpointIsMet: boolean
  readonly #counts = { logFiles: 0, segments: 0, indexes: 0, groups: 0, batches: 0, records: 0, bytes: 0 }
  #totalBytes = 0

  constructor(inspection: DataFolderInspection, options: CheckOptions) {
    this.#inspection = inspection
    this.#options = options
    const { checkpoint } = inspection
    this.#catalog = new LogCatalog(checkpoint)
    this.#producers = new CheckpointProducers(checkpoint)
    for (const [logId, , endOffset] of checkpoint?.logs ?? []) this.#ends.set(logId, endOffset)
    this.#checkpointIsMet = checkpoint === null || checkpoint.end.position <= FILE_HEADER_BYTES
  }

  async run(): Promise<CheckReport> {
    const { fileSystem, folder, fileNumbers, segmentNumbers, checkpointFault, dataDir } = this.#inspection
    const startedAt = performance.now()
    const names = [...fileNumbers.map(logFileName), ...segmentNumbers.map(segmentFileName)]
    for (const name of names) this.#totalBytes += await sizeOf(fileSystem, join(folder, name))
    if (checkpointFault !== null) {
      this.#suspect({
        kind: 'checkpoint',
        file: 'checkpoint',
        position: null,
        problem: checkpointFault,
        span: null,
        lost: 'what the store knew of topics, producers and transactions; no record',
        remedy: 'truncate-all',
      })
    }
    for await (const step of walkLog(this.#inspection)) await this.#step(step)
    this.#checkpointAgainstLog()
    for (const number of segmentNumbers) await this.#checkSegment(number)
    this.#coverage()
    this.#otherNames()
    const findings = this.#findings()
    const findingCount = this.#suspicionCount - (this.#suspicions.length - findings.length)
    return {
      dataDir,
      clusterId: this.#inspection.checkpoint?.clusterId ?? null,
      isSound: findingCount === 0,
      ...this.#counts,
      elapsedMs: performance.now() - startedAt,
      findings,
      findingCount,
      notes: this.#notes,
    }
  }

  async #step(step: LogStep): Promise<void> {
    this.#options.signal?.throwIfAborted()
    const { file } = step
    switch (step.kind) {
      case 'file':
        this.#counts.logFiles++
        this.#index = new GatheredIndex()
        this.#isDamaged = false
        this.#gaps = []
        return
      case 'group':
        return await this.#group(step)
      case 'damage':
        this.#progress(step.end - step.position)
        return this.#gap(step)
      case 'file-end': {
        this.#progress(file.sizeBytes - step.position + FILE_HEADER_BYTES)
        if (step.torn !== null) this.#note(file.name, step.position, `the log ends here: ${step.torn}`)
        if (step.end === null) return await this.#checkIndex(file)
        this.#end = step.end
        return
      }
      case 'unused-file':
        this.#progress(file.sizeBytes)
        this.#note(file.name, null, 'nothing in it counts: it was begun when the log ended before it')
    }
  }

  #gap({
    part,
    file,
    position,
    end,
    fault: problem,
    isInCheckpoint,
  }: Extract<LogStep, { kind: 'damage' }>): void {
    const isHeader = part === 'header'
    const suspicion: Suspicion = {
      kind: isHeader ? 'file' : 'group',
      file: file.name,
      position,
      problem,
      span: null,
      lost: isHeader
        ? 'nothing: the groups in the file say what it is'
        : `what lay in bytes ${position} to ${end - 1}: where it still counted, the offsets are listed as missing`,
      remedy: isInCheckpoint ? 'truncate-all' : 'truncate',
    }
    this.#suspect(suspicion)
    if (!isHeader) this.#isDamaged = true
    this.#gaps.push({ position, end, suspicion })
  }

  async #group({ file, group, damaged, isInCheckpoint }: GroupStep): Promise<void> {
    this.#counts.groups++
    this.#progress(group.header.lengthBytes)
    for (const entry of group.entries) {
      const position = group.position + entry.position
      if (entry.kind === EntryKind.event) {
        if (damaged.has(entry)) this.#damagedEvent(file, position, isInCheckpoint)
        else {
          const body = group.bytes.subarray(entry.position, entry.position + entry.lengthBytes)
          this.#catalog.apply(JSON.parse(Buffer.from(body).toString()) as StoreEvent, isInCheckpoint)
        }
        continue
      }
      const { logId, baseOffset } = entry
      const open = this.#openSpans.get(logId)
      if (open !== undefined) this.#closeSpan(open, baseOffset)
      this.#counts.batches++
      if (damaged.has(entry)) {
        this.#isDamaged = true
        this.#damagedBatch(file, position, entry, 'the batch does not match its checksum', isInCheckpoint)
        continue
      }
      this.#index.add(group, entry)
      const endOffset = baseOffset + batchHeader.lastOffsetDelta(group.bytes, entry.position) + 1
      const loading = loadCodecOf(group.bytes, entry.position)
      if (loading !== undefined) await loading
      const fault = recordsFault(group.bytes, entry.position, entry.lengthBytes, true)
      if (fault !== null) this.#damagedBatch(file, position, entry, fault, isInCheckpoint)
      this.#counts.records += Math.max(0, batchHeader.recordCount(group.bytes, entry.position))
      const before = this.#found.add(logId, baseOffset, endOffset)
      if (baseOffset < before) {
        this.#damagedBatch(
          file,
          position,
          entry,
          `offset ${baseOffset} follows ${before - 1}`,
          isInCheckpoint,
        )
      }
      this.#advanceEnd(file, position, logId, endOffset, isInCheckpoint)
      if (isInCheckpoint && fault === null) {
        const wrong = this.#producers.faultOf(logId, group.bytes, entry.position, baseOffset)
        if (wrong !== null) this.#wrongProducer(file, position, logId, wrong)
      }
    }
    this.#checkpointAgainstGroup(file, group)
  }

  #advanceEnd(
    file: InspectedFile,
    position: number,
    logId: LogId,
    end: Offset,
    isInCheckpoint: boolean,
  ): void {
    const known = this.#ends.get(logId)
    if (!isInCheckpoint) this.#ends.set(logId, Math.max(known ?? 0, end))
    else if (known !== undefined && end > known) {
      this.#suspect({
        kind: 'checkpoint',
        file: 'checkpoint',
        position: null,
        problem: `it says that ${displayName(this.#catalog, logId)} ends at offset ${known}, but ${file.name} has offset ${end - 1} at byte ${position}`,
        span: null,
        lost: 'nothing yet',
        remedy: 'truncate-all',
      })
    }
  }

  #wrongProducer(file: InspectedFile, position: number, logId: LogId, problem: string): void {
    this.#checkpointFinding(
      `it says of ${displayName(this.#catalog, logId)} that ${problem}: ${file.name} at byte ${position}`,
      'no record; a producer may be refused, or what it sends again be taken twice, or what it aborted be read',
    )
  }

  #damagedEvent(file: InspectedFile, position: number, isInCheckpoint: boolean): void {
    this.#isDamaged = true
    this.#suspect({
      kind: 'group',
      file: file.name,
      position,
      problem: 'an event, a change that is no record, does not match its checksum',
      span: null,
      lost: isInCheckpoint ? 'nothing: the checkpoint has its effect' : 'the change',
      remedy: isInCheckpoint ? 'skip' : 'truncate',
    })
  }

  #damagedBatch(
    file: InspectedFile,
    position: number,
    { logId, baseOffset }: Entry,
    problem: string,
    isInCheckpoint: boolean,
  ): void {
    const span = { logId, from: baseOffset, to: null }
    this.#openSpans.set(logId, span)
    const remedy = isInCheckpoint ? 'skip' : 'truncate'
    this.#suspect({ kind: 'batch', file: file.name, position, problem, span, lost: '', remedy })
  }

  /** What is damaged is reported where it lies: it is not missing besides. */
  #closeSpan(span: NonNullable<Suspicion['span']>, to: Offset): void {
    this.#openSpans.delete(span.logId)
    if (to <= span.from) return
    span.to = to
    this.#found.add(span.logId, span.from, to)
  }

  #checkpointAgainstGroup(file: InspectedFile, { position, header, crc }: GroupStep['group']): void {
    const end = this.#inspection.checkpoint?.end
    if (end?.fileNumber !== file.number || end.position !== position + header.lengthBytes) return
    this.#checkpointIsMet = true
    if (end.sequence === header.sequence && end.chain === crc) return
    this.#checkpointFinding(
      `it names another group than the one that ends at byte ${end.position} of ${file.name}`,
    )
  }

  #checkpointAgainstLog(): void {
    const { checkpoint, fileNumbers } = this.#inspection
    for (const [logId, span] of this.#openSpans) {
      this.#closeSpan(span, Math.max(this.#ends.get(logId) ?? 0, span.from + 1))
    }
    if (this.#checkpointIsMet || checkpoint === null) return
    const { fileNumber, position } = checkpoint.end
    const name = logFileName(fileNumber)
    if (fileNumbers.includes(fileNumber)) {
      this.#checkpointFinding(`it says that a group ends at byte ${position} of ${name}, and none does`)
      return
    }
    this.#suspect({
      kind: 'file',
      file: name,
      position: null,
      problem: 'the file is missing: the checkpoint names it',
      span: null,
      lost: 'what lay in it: where it still counted, the offsets are listed as missing',
      remedy: 'backup',
    })
  }

  #checkpointFinding(problem: string, lost = 'nothing by itself'): void {
    this.#suspect({
      kind: 'checkpoint',
      file: 'checkpoint',
      position: null,
      problem,
      span: null,
      lost,
      remedy: 'truncate-all',
    })
  }

  async #checkIndex(file: InspectedFile): Promise<void> {
    const path = file.path.replace(/\.log$/, '.index')
    const bytes = await this.#inspection.fileSystem.readFile(path)
    if (bytes === null) {
      this.#note(
        basename(path),
        null,
        'there is no index beside this full file: the next start makes it again',
      )
      return
    }
    this.#counts.indexes++
    if (this.#isDamaged) return await this.#batchesInGaps(file, bytes)
    const difference = indexDifference(this.#index, bytes, file.number)
    if (difference === null) {
      for (const { suspicion } of this.#gaps) suspicion.remedy = 'indexed'
      return
    }
    this.#suspect({
      kind: 'index',
      file: basename(path),
      position: difference.position,
      problem: difference.problem,
      span: null,
      lost: 'nothing: it holds nothing the log file does not',
      remedy: 'indexes',
      ...(difference.absent === undefined ? {} : { unlessGone: difference.absent }),
    })
  }

  /**
   * Where groups cannot be read, the index has what they held, and it is by the index that the broker finds the batches
   * of a full file: each is looked at by itself.
   */
  async #batchesInGaps(file: InspectedFile, index: Uint8Array): Promise<void> {
    const directory = decodeDirectory(index, file.number)
    if (directory === null) return
    for (const entry of directory) {
      const { logId, position: start, batchCount } = entry
      const batches = decodeBatches(index.subarray(start, start + batchCount * BATCH_BYTES), entry)
      if (batches === null) return
      for (let at = 0; at < batches.length; at += BATCH_FIELDS) {
        const [baseOffset, position, byteLength] = [batches[at]!, batches[at + 1]!, batches[at + 2]!]
        if (!this.#gaps.some((gap) => position >= gap.position && position < gap.end)) continue
        this.#counts.batches++
        const endOffset = batches[at + BATCH_FIELDS] ?? entry.endOffset
        const bytes = await file.scan.bytesAt(position, byteLength)
        this.#found.add(logId, baseOffset, endOffset)
        if (bytes.byteLength === byteLength && isBatchAt(bytes, baseOffset)) {
          this.#counts.records += batchHeader.recordCount(bytes, 0)
          continue
        }
        const span = { logId, from: baseOffset, to: endOffset }
        const problem = 'the batch does not match its checksum'
        this.#suspect({ kind: 'batch', file: file.name, position, problem, span, lost: '', remedy: 'skip' })
      }
    }
    for (const { suspicion } of this.#gaps) suspicion.remedy = 'indexed'
  }

  async #checkSegment(number: number): Promise<void> {
    const name = segmentFileName(number)
    const file = await InspectedFile.openSegment(this.#inspection, number)
    try {
      if (!this.#catalog.segments.has(number) && this.#inspection.checkpoint !== null) {
        this.#note(
          name,
          null,
          'no event speaks of this segment: a crash left it, and the next start removes it',
        )
        this.#progress(file.sizeBytes)
        return
      }
      this.#counts.segments++
      let passed = 0
      for await (const step of walkSegment(file, this.#inspection.storeId)) {
        this.#options.signal?.throwIfAborted()
        if (step.kind === 'log') {
          const { logId, firstOffset, endOffset } = step.entry
          this.#found.add(logId, firstOffset, endOffset)
          this.#inSegments.add(logId, firstOffset, endOffset)
          continue
        }
        if (step.kind === 'damage') {
          const { position, fault: problem, entry } = step
          this.#suspect({
            kind: 'segment',
            file: name,
            position,
            problem,
            span:
              entry === null ? null : { logId: entry.logId, from: entry.firstOffset, to: entry.endOffset },
            lost: 'what it covers: where no other file has it, the offsets are listed as missing',
            remedy: 'backup',
          })
          continue
        }
        const { logId, baseOffset, endOffset, position, bytes } = step
        this.#counts.batches++
        const loading = step.fault === null ? loadCodecOf(bytes, 0) : undefined
        if (loading !== undefined) await loading
        const problem = step.fault ?? recordsFault(bytes, 0, bytes.byteLength, false)
        if (problem === null) this.#counts.records += batchHeader.recordCount(bytes, 0)
        else {
          this.#inSegments.remove(logId, baseOffset, endOffset)
          const span = { logId, from: baseOffset, to: endOffset }
          this.#suspect({ kind: 'batch', file: name, position, problem, span, lost: '', remedy: 'skip' })
        }
        this.#progress(position + bytes.byteLength - passed)
        passed = position + bytes.byteLength
      }
      this.#progress(file.sizeBytes - passed)
    } finally {
      await file.close()
    }
  }

  #coverage(): void {
    // Without the checkpoint nobody knows where logs begin whose first events are gone.
    if (this.#inspection.checkpoint === null) return
    for (const [logId, start] of this.#catalog.starts) {
      for (const [from, to] of this.#found.missing(logId, start, this.#ends.get(logId) ?? start)) {
        this.#suspect({
          kind: 'missing',
          file: 'log',
          position: null,
          problem: `offsets ${from} to ${to - 1} lie in no file`,
          span: { logId, from, to },
          lost: '',
          remedy: 'backup',
        })
      }
    }
  }

  #otherNames(): void {
    const logs = new Set(this.#inspection.names)
    for (const name of this.#inspection.names) {
      if (name.endsWith('.damaged') || /\.damaged\.\d+$/.test(name)) {
        this.#note(name, null, 'kept from damage that was cut off; nothing reads it')
      } else if (
        name.endsWith('.tmp') ||
        (/^\d{20}\.index$/.test(name) && !logs.has(name.replace(/index$/, 'log')))
      ) {
        this.#note(name, null, 'a leftover: the next start removes it')
      } else if (!/^\d{20}\.(log|index|segment)$/.test(name)) {
        this.#note(name, null, 'not a file of StreamBus')
      }
    }
  }

  #suspect(suspicion: Suspicion): void {
    this.#suspicionCount++
    if (this.#suspicions.length < MAX_FINDINGS) this.#suspicions.push(suspicion)
  }

  #note(file: string, position: number | null, note: string): void {
    if (this.#notes.length < MAX_FINDINGS) this.#notes.push({ file, position, note })
  }

  #progress(bytes: number): void {
    this.#counts.bytes += bytes
    this.#options.onProgress?.({ bytes: this.#counts.bytes, totalBytes: this.#totalBytes })
  }

  #findings(): Finding[] {
    return this.#suspicions
      .filter(
        ({ unlessGone }) =>
          unlessGone === undefined || unlessGone.some((logId) => this.#catalog.starts.has(logId)),
      )
      .map(({ kind, file, position, problem, span, lost, remedy }) => {
        const known = span === null ? undefined : this.#catalog.nameOf(span.logId)
        return {
          kind,
          file: kind === 'checkpoint' ? file : kind === 'missing' ? 'log' : join('log', file),
          position,
          logId: span?.logId ?? null,
          topic: known?.topic ?? null,
          partition: known?.partition ?? null,
          offset: span?.from ?? null,
          problem,
          lost: span === null || lost !== '' ? lost : this.#lossOf(span),
          wayOut: this.#wayOut(remedy, file, position),
        }
      })
  }

  #lossOf({ logId, from, to }: NonNullable<Suspicion['span']>): string {
    const start = this.#catalog.starts.get(logId)
    if (start === undefined && this.#inspection.checkpoint !== null) return 'nothing: its topic is deleted'
    const end = to ?? from + 1
    if (start !== undefined && end <= start) return `nothing: the log begins at offset ${start}`
    const first = Math.max(from, start ?? 0)
    if (this.#inSegments.missing(logId, first, end).length === 0)
      return 'nothing: a segment has taken its place'
    const offsets = end - first === 1 ? `offset ${first}` : `offsets ${first} to ${end - 1}`
    return `${offsets} of ${displayName(this.#catalog, logId)}`
  }

  #wayOut(remedy: Suspicion['remedy'], file: string, position: number | null): string {
    const { dataDir } = this.#inspection
    const repair = (place: string) => `\`streambus log repair ${dataDir} --truncate-at ${place}\``
    switch (remedy) {
      case 'backup':
        return 'restore the data folder from a backup'
      case 'indexes':
        return `\`streambus log repair ${dataDir} --indexes\` makes it again`
      case 'skip':
        return 'restore the data folder from a backup; the broker runs without it, but reading that partition stops there until its start, or the reader, is moved past it'
      case 'indexed':
        return 'the broker starts and finds the batches by the index beside the file, as long as that is kept; restore the data folder from a backup to be rid of it'
      case 'truncate':
        return `restore the data folder from a backup, or ${repair(`${file}:${position}`)} gives up what follows`
      case 'truncate-all': {
        if (position === null && this.#end === null) return 'restore the data folder from a backup'
        const end = this.#end!
        const place =
          position === null ? `${logFileName(end.fileNumber)}:${end.position}` : `${file}:${position}`
        return `restore the data folder from a backup, or, where all log files from the first on are there, ${repair(place)} makes a new checkpoint${position === null ? '' : ' and gives up what follows'}`
      }
    }
  }
}

/** The batch that an index speaks of, with the right checksum. */
function isBatchAt(bytes: Uint8Array, baseOffset: Offset): boolean {
  return (
    bytes.byteLength >= BATCH_HEADER_BYTES &&
    batchHeader.byteLength(bytes, 0) === bytes.byteLength &&
    batchHeader.baseOffset(bytes, 0) === baseOffset &&
    crcIsValid(bytes, 0, bytes.byteLength)
  )
}
