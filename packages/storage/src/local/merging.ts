import { batchCrc, batchHeader } from '@streambus/protocol'
import type { LogId, Offset } from '../log-store.ts'
import type { LogFile } from './log-files.ts'
import type { OffsetIndex, SealedRange } from './offset-index.ts'
import { addFinished, damagedAt, gather, type Rewriting, type RewritingSteps } from './rewriting.ts'
import { SegmentWriter } from './segment-file.ts'

/** Bytes checked and written in a step: about a quarter of a millisecond. */
const WRITE_STEP_BYTES = 128 * 1024

/**
 * Merges files into one segment, in which each log's batches lie together: a reader who is far behind then reads what
 * it wants and nothing else, and files of which little is left give back their space. The batches are copied as they
 * are.
 *
 * Whatever a log has in the inputs is one stretch of offsets.
 */
export async function* merge(inputs: readonly LogFile[], rewriting: Rewriting): RewritingSteps {
  /** What the segment covers of the logs that are read now. */
  const stretches = new Map<LogId, { readonly begin: Offset; readonly end: Offset }>()
  const ranges = async function* () {
    for await (const ofLog of rangesByLog(inputs, rewriting.index)) {
      const { logId, firstOffset } = ofLog[0]!.directory
      stretches.set(logId, { begin: firstOffset, end: ofLog.at(-1)!.directory.endOffset })
      yield* ofLog
    }
  }
  for (const file of inputs) file.hold()
  let writer: SegmentWriter | null = null
  try {
    writer = await SegmentWriter.create(rewriting)
    let current: LogId | null = null
    let written = 0
    let logs = 0
    const beginLog = (logId: LogId) => {
      writer!.beginLog(logId, stretches.get(logId)!.begin)
      logs++
    }
    const endLog = (logId: LogId) => {
      writer!.endLog(stretches.get(logId)!.end)
      stretches.delete(logId)
    }
    // Where compaction has left nothing of a log, that is covered too: else the inputs would stay, and be merged again.
    const coverEmptyLogs = (before: LogId) => {
      for (const logId of stretches.keys()) {
        if (logId >= before) return
        if (rewriting.logOf(logId) === undefined) continue
        beginLog(logId)
        endLog(logId)
      }
    }
    for await (const step of gather(ranges(), rewriting)) {
      if (typeof step === 'number') {
        yield step
        continue
      }
      for (const { logId, range, position, bytes } of step) {
        if (batchCrc(bytes, 0, bytes.byteLength) !== batchHeader.crc(bytes, 0)) {
          throw damagedAt(range, position, 'the batch does not match its checksum')
        }
        if (logId !== current) {
          if (current !== null) endLog(current)
          coverEmptyLogs(logId)
          beginLog(logId)
          current = logId
        }
        const full = writer.add(bytes)
        if (full !== undefined) await full
        written += bytes.byteLength
        if (written >= WRITE_STEP_BYTES) {
          yield written
          written = 0
        }
      }
    }
    if (current !== null) endLog(current)
    coverEmptyLogs(Number.POSITIVE_INFINITY)
    // Every log may have been deleted meanwhile.
    if (logs === 0) return
    yield written
    // From here on nobody holds the inputs: they give back their space as soon as the segment counts.
    await addFinished(writer, null, rewriting)
  } finally {
    try {
      await writer?.discard()
    } finally {
      for (const file of inputs) file.release()
    }
  }
}

/** What each log has in these files, in the order of the logs' ids; of each in the order of its offsets. */
async function* rangesByLog(
  inputs: readonly LogFile[],
  index: OffsetIndex,
): AsyncGenerator<readonly [SealedRange, ...SealedRange[]]> {
  const ofFiles = inputs.map((file) => new Ascending(index.rangesIn(file)))
  for (;;) {
    for (const ranges of ofFiles) await ranges.load()
    const logId = Math.min(...ofFiles.map(({ logId }) => logId))
    if (logId === Number.POSITIVE_INFINITY) return
    const ofLog = ofFiles.flatMap((ranges) => (ranges.logId === logId ? [ranges.take()] : []))
    ofLog.sort((a, b) => a.directory.firstOffset - b.directory.firstOffset)
    yield ofLog as [SealedRange, ...SealedRange[]]
  }
}

/** The ranges in one file, one log after the other. */
class Ascending {
  readonly #blocks: AsyncGenerator<readonly SealedRange[]>
  #block: readonly SealedRange[] = []
  #next = 0

  constructor(blocks: AsyncGenerator<readonly SealedRange[]>) {
    this.#blocks = blocks
  }

  /** Of the next range; infinite where there is none. */
  get logId(): LogId {
    return this.#block[this.#next]?.directory.logId ?? Number.POSITIVE_INFINITY
  }

  /** To be called before `logId` is looked at. */
  async load(): Promise<void> {
    while (this.#next === this.#block.length) {
      const { done, value } = await this.#blocks.next()
      if (done) return
      this.#block = value
      this.#next = 0
    }
  }

  take(): SealedRange {
    return this.#block[this.#next++]!
  }
}
