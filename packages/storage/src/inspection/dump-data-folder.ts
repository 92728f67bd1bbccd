import { BATCH_HEADER_BYTES } from '@streambus/protocol'
import type { FileSystem } from '../local/file-system.ts'
import { fileNumberOf, segmentFileName, segmentNumberOf } from '../local/log-files.ts'
import { EntryKind } from '../local/log-format.ts'
import { type LogId, type Offset, StorageError } from '../log-store.ts'
import type { StoreEvent } from '../store-state.ts'
import { crcIsValid } from './batch-check.ts'
import { type DumpedBatch, type DumpedRecord, describeBatch } from './batch-description.ts'
import { type DataFolderInspection, InspectedFile, inspectDataFolder } from './data-folder-inspection.ts'
import { LogCatalog } from './log-catalog.ts'
import { type LogStep, walkLog } from './log-walk.ts'
import { walkSegment } from './segment-walk.ts'

export type { DumpedBatch, DumpedRecord }

export type DumpItem =
  | DumpedBatch
  | {
      readonly type: 'event'
      readonly file: string
      readonly position: number
      /** Null where its bytes do not match their checksum. */
      readonly event: StoreEvent | null
    }
  /** Bytes that cannot be read; what follows them in the file comes next, where there is anything. */
  | {
      readonly type: 'damage'
      readonly file: string
      readonly position: number
      readonly end: number | null
      readonly problem: string
    }
  | { readonly type: 'end'; readonly file: string; readonly position: number; readonly note: string | null }

export interface DumpOptions {
  /** One partition, in the order of its offsets, of what counts. By default each file, as it lies there. */
  readonly log?: { readonly topic: string; readonly partition: number }
  /** One log file or segment, by its name, with its events. Excludes `log`. */
  readonly file?: string
  /** Leaves out batches that end below it. */
  readonly offset?: Offset
  /** Most batches and events. */
  readonly limit?: number
  readonly records?: boolean
  readonly fileSystem?: FileSystem
}

/**
 * Gives what lies in a data folder, one item after the other, as far as it can be read; nothing is changed. The bytes
 * of records are valid until `take` has resolved. Throws the StorageErrors of `inspectDataFolder`, and UNKNOWN_TOPIC.
 */
export function dumpDataFolder(
  dataDir: string,
  options: DumpOptions,
  take: (item: DumpItem) => Promise<void>,
): Promise<void> {
  return inspectDataFolder(
    dataDir,
    async (inspection) => {
      const dump = new Dump(inspection, options)
      const { limit = Number.POSITIVE_INFINITY, offset = 0 } = options
      let count = 0
      if (limit === 0) return
      for await (const item of dump.items()) {
        if (item.type === 'batch' && item.lastOffset < offset) continue
        await take(item)
        if ((item.type === 'batch' || item.type === 'event') && ++count >= limit) return
      }
    },
    options.fileSystem,
  )
}

interface SegmentRange {
  readonly number: number
  readonly first: Offset
  readonly end: Offset
}

class Dump {
  readonly #inspection: DataFolderInspection
  readonly #options: DumpOptions
  readonly #catalog: LogCatalog

  constructor(inspection: DataFolderInspection, options: DumpOptions) {
    this.#inspection = inspection
    this.#options = options
    this.#catalog = new LogCatalog(inspection.checkpoint)
  }

  async *items(): AsyncGenerator<DumpItem> {
    await this.#learn()
    const { file, log } = this.#options
    if (log !== undefined) {
      yield* this.#log(this.#logIdOf(log))
      return
    }
    if (file === undefined) {
      for (const number of this.#inspection.segmentNumbers) yield* this.#segment(number)
      for await (const step of walkLog(this.#inspection)) yield* this.#step(step, () => true, true)
      return
    }
    const segment = segmentNumberOf(file)
    const only = fileNumberOf(file)
    if (!this.#inspection.names.includes(file) || (segment === null && only === null)) {
      throw new StorageError(
        'DATA_NOT_FOUND',
        `${this.#inspection.folder} has no log file or segment '${file}': name one of ….log or ….segment in it`,
      )
    }
    if (segment !== null) yield* this.#segment(segment)
    else
      for await (const step of walkLog(this.#inspection, { only: only! }))
        yield* this.#step(step, () => true, true)
  }

  /** The events after the checkpoint: which topics there are, and which segments count. */
  async #learn(): Promise<void> {
    const { checkpoint } = this.#inspection
    const from = checkpoint?.end
    for await (const step of walkLog(this.#inspection, from === undefined ? {} : { from })) {
      if (step.kind !== 'group') continue
      for (const entry of step.group.entries) {
        if (entry.kind !== EntryKind.event || step.damaged.has(entry)) continue
        this.#catalog.apply(eventIn(step.group.bytes, entry), false)
      }
    }
  }

  #logIdOf({ topic, partition }: { topic: string; partition: number }): LogId {
    const logs = this.#catalog.logsOf(topic)
    const { dataDir } = this.#inspection
    if (logs === undefined) throw new StorageError('UNKNOWN_TOPIC', `${dataDir} has no topic '${topic}'`)
    const logId = logs[partition]
    if (logId !== undefined) return logId
    throw new StorageError(
      'UNKNOWN_TOPIC',
      `topic '${topic}' has no partition ${partition}: its last one is ${logs.length - 1}`,
    )
  }

  /** Segments stand for what they cover, also where older files still have it. */
  async *#log(logId: LogId): AsyncGenerator<DumpItem> {
    const waiting = await this.#segmentsOf(logId)
    const covered = [...waiting]
    const isWanted = (id: LogId, offset: Offset) =>
      id === logId && !covered.some(({ first, end }) => offset >= first && offset < end)
    for await (const step of walkLog(this.#inspection)) {
      if (step.kind === 'group') {
        const next = step.group.entries.find((entry) => isWanted(entry.logId, entry.baseOffset))
        while (next !== undefined && waiting.length > 0 && waiting[0]!.first < next.baseOffset) {
          yield* this.#segment(waiting.shift()!.number, logId)
        }
      }
      yield* this.#step(step, isWanted, false)
    }
    for (const { number } of waiting) yield* this.#segment(number, logId)
  }

  /** The segments that hold the log, in the order of its offsets, without those a newer one stands for. */
  async #segmentsOf(logId: LogId): Promise<SegmentRange[]> {
    const ranges: SegmentRange[] = []
    for (const number of this.#inspection.segmentNumbers) {
      if (!this.#catalog.segments.has(number)) continue
      const file = await InspectedFile.openSegment(this.#inspection, number)
      try {
        for await (const step of walkSegment(file, this.#inspection.storeId, null)) {
          if (step.kind !== 'log' || step.entry.logId !== logId) continue
          ranges.push({ number, first: step.entry.firstOffset, end: step.entry.endOffset })
        }
      } finally {
        await file.close()
      }
    }
    return ranges
      .filter(
        (older) =>
          !ranges.some(
            (newer) => newer.number > older.number && newer.first <= older.first && newer.end >= older.end,
          ),
      )
      .sort((a, b) => a.first - b.first)
  }

  async *#segment(number: number, only?: LogId): AsyncGenerator<DumpItem> {
    const name = segmentFileName(number)
    const file = await InspectedFile.openSegment(this.#inspection, number)
    try {
      for await (const step of walkSegment(file, this.#inspection.storeId, only)) {
        if (step.kind === 'log') continue
        if (step.kind === 'damage') {
          yield { type: 'damage', file: name, position: step.position, end: null, problem: step.fault }
          continue
        }
        const { bytes, position, logId, fault } = step
        if (bytes.byteLength < BATCH_HEADER_BYTES) {
          yield { type: 'damage', file: name, position, end: null, problem: fault ?? 'the file is cut short' }
          continue
        }
        const isValid = crcIsValid(bytes, 0, bytes.byteLength)
        yield await describeBatch(
          bytes,
          this.#place(name, position, logId),
          isValid,
          fault,
          this.#withRecords,
        )
      }
      yield { type: 'end', file: name, position: file.sizeBytes, note: null }
    } finally {
      await file.close()
    }
  }

  async *#step(
    step: LogStep,
    isWanted: (logId: LogId, offset: Offset) => boolean,
    withEvents: boolean,
  ): AsyncGenerator<DumpItem> {
    const { name } = step.file
    if (step.kind === 'damage') {
      yield { type: 'damage', file: name, position: step.position, end: step.end, problem: step.fault }
    } else if (step.kind === 'file-end') {
      if (withEvents || step.torn !== null) {
        yield { type: 'end', file: name, position: step.position, note: step.torn }
      }
    } else if (step.kind === 'unused-file') {
      yield { type: 'end', file: name, position: 0, note: 'nothing in it counts: the log ends before it' }
    }
    if (step.kind !== 'group') return
    const { group, damaged, isInCheckpoint } = step
    for (const entry of group.entries) {
      const position = group.position + entry.position
      const isValid = !damaged.has(entry)
      if (entry.kind === EntryKind.event) {
        const event = isValid ? eventIn(group.bytes, entry) : null
        if (event !== null) this.#catalog.apply(event, isInCheckpoint || this.#inspection.checkpoint !== null)
        if (withEvents) yield { type: 'event', file: name, position, event }
        continue
      }
      if (!isWanted(entry.logId, entry.baseOffset)) continue
      const bytes = group.bytes.subarray(entry.position, entry.position + entry.lengthBytes)
      if (bytes.byteLength < BATCH_HEADER_BYTES) {
        yield {
          type: 'damage',
          file: name,
          position,
          end: position + bytes.byteLength,
          problem: 'no record batch',
        }
        continue
      }
      const fault = isValid ? null : 'the batch does not match what the group says of it'
      const place = this.#place(name, position, entry.logId)
      yield await describeBatch(bytes, place, isValid, fault, this.#withRecords)
    }
  }

  get #withRecords(): boolean {
    return this.#options.records === true
  }

  #place(file: string, position: number, logId: LogId) {
    const known = this.#catalog.nameOf(logId)
    return { file, position, logId, topic: known?.topic ?? null, partition: known?.partition ?? null }
  }
}

function eventIn(
  bytes: Uint8Array,
  { position, lengthBytes }: { position: number; lengthBytes: number },
): StoreEvent {
  return JSON.parse(
    Buffer.from(bytes.subarray(position, position + lengthBytes)).toString('utf8'),
  ) as StoreEvent
}
