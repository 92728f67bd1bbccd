import type { LogPosition } from '../local/checkpoint.ts'
import type { ScannedGroup } from '../local/group-scan.ts'
import {
  type Entry,
  entryIsIntact,
  FILE_HEADER_BYTES,
  fileHeaderFault,
  GROUP_HEADER_BYTES,
  groupLength,
} from '../local/log-format.ts'
import { StorageError } from '../log-store.ts'
import { type DataFolderInspection, InspectedFile } from './data-folder-inspection.ts'

/**
 * The shared log from its first file to its end, over everything that is damaged in it.
 *
 * A start ends the log at the first place where no group continues it, and refuses where something further on says that
 * what is missing had been on disk. This walk asks the same question (here the checkpoint is heard as well), and where
 * the answer is damage it tells of it and goes on with the next group that can be read.
 */
export type LogStep =
  | { readonly kind: 'file'; readonly file: InspectedFile }
  /** `damaged`: entries whose bytes do not match their checksums; the others can be read. */
  | {
      readonly kind: 'group'
      readonly file: InspectedFile
      readonly group: ScannedGroup
      readonly damaged: ReadonlySet<Entry>
      readonly isInCheckpoint: boolean
    }
  /** Bytes from `position` to before `end` that had been on disk, as `evidence` says, and cannot be read. */
  | {
      readonly kind: 'damage'
      readonly part: 'header' | 'group'
      readonly file: InspectedFile
      readonly position: number
      readonly end: number
      readonly fault: string
      readonly isInCheckpoint: boolean
    }
  /** Behind the last group of the file. `end` is set at the end of the log. */
  | {
      readonly kind: 'file-end'
      readonly file: InspectedFile
      readonly position: number
      readonly end: LogPosition | null
      /** At the end of the log: what lies behind it. A crash may have left it so. */
      readonly torn: string | null
    }
  /** Behind the end of the log. */
  | { readonly kind: 'unused-file'; readonly file: InspectedFile }

interface Place {
  readonly sequence: number
  readonly chain: number
}

/**
 * @param from where to begin; by default the first file there is
 * @param only the one file to go through
 */
export async function* walkLog(
  inspection: DataFolderInspection,
  { from, only }: { readonly from?: LogPosition; readonly only?: number } = {},
): AsyncGenerator<LogStep, void, undefined> {
  const numbers = inspection.fileNumbers.filter((number) => from === undefined || number >= from.fileNumber)
  const walk = new LogWalk(inspection, numbers)
  for (const number of numbers) {
    if (only !== undefined && number !== only) continue
    const file = await InspectedFile.openLog(inspection, number)
    try {
      yield* walk.through(file, from?.fileNumber === number ? from : undefined)
    } finally {
      await file.close()
    }
  }
}

class LogWalk {
  readonly #inspection: DataFolderInspection
  readonly #numbers: readonly number[]
  /** The group before; null where it is not known: after files that are gone or cannot be read. */
  #before: Place | null = null
  #previousNumber: number
  #isOver = false

  constructor(inspection: DataFolderInspection, numbers: readonly number[]) {
    this.#inspection = inspection
    this.#numbers = numbers
    this.#previousNumber = numbers[0] === 1 ? 0 : -1
    if (numbers[0] === 1) this.#before = { sequence: 0, chain: 0 }
  }

  async *through(file: InspectedFile, from: LogPosition | undefined): AsyncGenerator<LogStep> {
    if (this.#isOver) {
      yield { kind: 'unused-file', file }
      return
    }
    if (this.#previousNumber !== file.number - 1) this.#before = null
    this.#previousNumber = file.number
    if (from !== undefined) this.#before = { sequence: from.sequence, chain: from.chain }
    yield { kind: 'file', file }
    let position = Math.max(FILE_HEADER_BYTES, from?.position ?? 0)
    const headerFault = await this.#headerFault(file)
    if (headerFault !== null) {
      if ((await this.#evidence(file, FILE_HEADER_BYTES)) === null) {
        yield await this.#endOfLog(file, position, 'its header was not written, as a crash leaves it')
        return
      }
      yield this.#damage('header', file, 0, FILE_HEADER_BYTES, headerFault)
    }
    for (;;) {
      const group = await file.scan.groupAt(position)
      if (group !== null && this.#continues(group)) {
        const damaged = new Set(group.entries.filter((entry) => !entryIsIntact(group.bytes, entry)))
        const isInCheckpoint = this.#isInCheckpoint(file, position)
        if (damaged.size > 0 && !isInCheckpoint && (await this.#evidence(file, position)) === null) {
          yield await this.#endOfLog(file, position, 'its last write is incomplete, as a crash leaves it')
          return
        }
        // The search for evidence has read on: the group is read again.
        const read = damaged.size > 0 ? (await file.scan.groupAt(position))! : group
        this.#before = { sequence: read.header.sequence, chain: read.crc }
        const { lengthBytes } = read.header
        yield { kind: 'group', file, group: { ...read, entries: group.entries }, damaged, isInCheckpoint }
        position += lengthBytes
        continue
      }
      const next = await this.#firstOfNext(file.number)
      if (next.isThere && next.continues) break
      const evidence = await this.#evidence(file, position)
      if (evidence === null) {
        if (!next.isThere && file.number !== this.#numbers.at(-1)) {
          // The files between are gone: whoever removed them knew that this one was full.
          this.#before = null
          break
        }
        const isClean = await file.isEmptyAt(position)
        yield await this.#endOfLog(
          file,
          position,
          isClean ? null : 'behind it lie remains of writes that never counted, as a crash leaves them',
        )
        return
      }
      const resumed = await this.#nextInFile(file, position)
      if (resumed === null && next.isThere && next.place === null) break
      const end = resumed?.position ?? file.sizeBytes
      yield this.#damage(
        'group',
        file,
        position,
        end,
        `${await this.#diagnosis(file, position)}; ${evidence}`,
      )
      if (resumed === null) {
        this.#before = null
        position = end
        if (file.number === this.#numbers.at(-1)) {
          yield await this.#endOfLog(file, position, null)
          return
        }
        break
      }
      this.#before = { sequence: resumed.sequence - 1, chain: resumed.chain }
      position = resumed.position
    }
    yield { kind: 'file-end', file, position, end: null, torn: null }
  }

  #continues({ header }: ScannedGroup): boolean {
    if (this.#before === null) return true
    return header.sequence === this.#before.sequence + 1 && header.chain === this.#before.chain
  }

  #isInCheckpoint(file: InspectedFile, position: number): boolean {
    const end = this.#inspection.checkpoint?.end
    if (end === undefined) return false
    return file.number < end.fileNumber || (file.number === end.fileNumber && position < end.position)
  }

  async #endOfLog(file: InspectedFile, position: number, torn: string | null): Promise<LogStep> {
    this.#isOver = true
    const { sequence, chain } = this.#before ?? { sequence: 0, chain: 0 }
    return {
      kind: 'file-end',
      file,
      position,
      end: { fileNumber: file.number, position, sequence, chain },
      torn,
    }
  }

  #damage(
    part: 'header' | 'group',
    file: InspectedFile,
    position: number,
    end: number,
    fault: string,
  ): LogStep {
    return {
      kind: 'damage',
      part,
      file,
      position,
      end,
      fault,
      isInCheckpoint: this.#isInCheckpoint(file, position),
    }
  }

  async #headerFault(file: InspectedFile): Promise<string | null> {
    const header = await file.header()
    const fault = fileHeaderFault(header, file.number, this.#inspection.storeId ?? header.subarray(24, 40))
    if (fault?.kind === 'newer') {
      throw new StorageError(
        'DATA_NEWER_FORMAT',
        `${file.path} has ${fault.fault}: use the newer release that wrote it`,
      )
    }
    return fault?.fault ?? null
  }

  /** Who says that the group missing at `position` had been on disk; null where nobody does. */
  async #evidence(file: InspectedFile, position: number): Promise<string | null> {
    const end = this.#inspection.checkpoint?.end
    const isSaid = end?.fileNumber === file.number || this.#numbers.includes(file.number + 1)
    if (isSaid && this.#isInCheckpoint(file, position)) return 'the checkpoint says that a group was there'
    const missing = (this.#before?.sequence ?? 0) + 1
    const inFile = await claimIn(file, position, missing)
    if (inFile !== null) return `${file.name} at byte ${inFile} says that group ${missing} was on disk`
    for (let number = file.number + 1; this.#numbers.includes(number); number++) {
      const later = await InspectedFile.openLog(this.#inspection, number)
      try {
        const claim = await claimIn(later, FILE_HEADER_BYTES, missing)
        if (claim !== null) return `${later.name} at byte ${claim} says that group ${missing} was on disk`
      } finally {
        await later.close()
      }
    }
    return null
  }

  /** What the next file, if it is there, begins with. */
  async #firstOfNext(number: number): Promise<{ isThere: boolean; continues: boolean; place: Place | null }> {
    if (!this.#numbers.includes(number + 1)) return { isThere: false, continues: false, place: null }
    const next = await InspectedFile.openLog(this.#inspection, number + 1)
    try {
      const first = await next.scan.groupAt(FILE_HEADER_BYTES)
      // Without its header, nothing in a file counts for a start.
      if (first === null || (await this.#headerFault(next)) !== null)
        return { isThere: true, continues: false, place: null }
      const place = { sequence: first.header.sequence, chain: first.crc }
      return { isThere: true, continues: this.#before !== null && this.#continues(first), place }
    } finally {
      await next.close()
    }
  }

  /** The next group in the file that is not older than the missing one. */
  async #nextInFile(
    file: InspectedFile,
    from: number,
  ): Promise<{ position: number; sequence: number; chain: number } | null> {
    for (let at = from; ; ) {
      const group = await file.scan.nextGroup(at)
      if (group === null) return null
      const { sequence, chain, lengthBytes } = group.header
      if (sequence > (this.#before?.sequence ?? 0)) return { position: group.position, sequence, chain }
      at = group.position + lengthBytes
    }
  }

  /** Why no group of the log is at `position`. */
  async #diagnosis(file: InspectedFile, position: number): Promise<string> {
    const { scan } = file
    const header = await scan.bytesAt(position, GROUP_HEADER_BYTES)
    if (header.byteLength < GROUP_HEADER_BYTES) return 'the file ends where a group should follow'
    if (header.every((byte) => byte === 0)) return 'there are zeros where a group should be'
    const lengthBytes = groupLength(header)
    if (lengthBytes === null) return 'what is there is no header of a group'
    if (position + lengthBytes > file.sizeBytes) return `a group of ${lengthBytes} bytes is cut short`
    const group = await scan.groupAt(position)
    if (group === null) return 'header or entry table of the group do not match their checksum'
    if (group.header.sequence !== this.#before!.sequence + 1) {
      return `group ${group.header.sequence} is where group ${this.#before!.sequence + 1} should be`
    }
    return `group ${group.header.sequence} does not name the checksum of the group before it`
  }
}

/** Where a group at or after `position` says that `sequence` is on disk. */
async function claimIn(file: InspectedFile, position: number, sequence: number): Promise<number | null> {
  for (let at = position; ; ) {
    const group = await file.scan.nextGroup(at)
    if (group === null) return null
    if (group.header.durableSequence >= sequence) return group.position
    at = group.position + group.header.lengthBytes
  }
}
