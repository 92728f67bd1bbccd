import type { Offset } from '../log-store.ts'
import type { Extent } from './disk-reader.ts'
import { BATCH_FIELDS } from './index-file.ts'
import type { LogFile } from './log-files.ts'
import type { BatchSlice } from './offset-index.ts'

/** Collects the extents of whole batches within a budget. */
export class ReadPlan {
  takenBytes = 0
  /** What is taken ends at or before it; exactly there unless batches are missing. */
  endOffset: Offset
  readonly extents: Extent[] = []
  readonly #held: LogFile[] = []
  readonly #budgetBytes: number
  readonly #atLeastOne: boolean

  /** No batch at or above `endOffset` is taken. */
  constructor(budgetBytes: number, atLeastOne: boolean, endOffset: Offset) {
    this.endOffset = endOffset
    this.#budgetBytes = budgetBytes
    this.#atLeastOne = atLeastOne
  }

  get isFull(): boolean {
    return this.#budgetBytes <= 0 && !this.#atLeastOne
  }

  /** Lets go of the files: whoever goes on with the extents holds them by now. */
  release(): void {
    for (const file of this.#held.splice(0)) file.release()
  }

  /** False when the budget is used up or the end is reached. */
  take({ file, fields, first }: BatchSlice): boolean {
    for (let at = first * BATCH_FIELDS; at < fields.length; at += BATCH_FIELDS) {
      const baseOffset = fields[at]!
      if (baseOffset >= this.endOffset) return false
      const position = fields[at + 1]!
      const byteLength = fields[at + 2]!
      if (byteLength === 0) continue
      const isTooMuch = this.takenBytes + byteLength > this.#budgetBytes
      if (isTooMuch && !(this.#atLeastOne && this.takenBytes === 0)) {
        this.endOffset = baseOffset
        return false
      }
      const last = this.extents.at(-1)
      if (last !== undefined && last.file === file && last.position + last.byteLength === position) {
        last.byteLength += byteLength
      } else {
        this.extents.push({ file, position, byteLength })
        if (last?.file !== file) {
          file.hold()
          this.#held.push(file)
        }
      }
      this.takenBytes += byteLength
    }
    return true
  }
}
