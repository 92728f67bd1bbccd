const newline = 0x0a

/**
 * Cuts a stream of bytes into lines, without the newline, as views of the chunks. Only a line that spans chunks
 * is copied. What follows the last newline is a line too, unless it is empty.
 */
export class LineSplitter {
  readonly #maxLineBytes: number
  #begun: Buffer[] = []
  #begunBytes = 0

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes
  }

  /** The lines this chunk completes. Throws RangeError on a line longer than `maxLineBytes`. */
  push(chunk: Buffer): Buffer[] {
    const lines: Buffer[] = []
    let start = 0
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      const piece = chunk.subarray(start, end)
      lines.push(this.#begun.length === 0 ? piece : this.#complete(piece))
      start = end + 1
    }
    if (start < chunk.length) this.#begin(chunk.subarray(start))
    return lines
  }

  /** The last line, where it has no newline. */
  end(): Buffer | undefined {
    return this.#begun.length === 0 ? undefined : this.#complete(Buffer.alloc(0))
  }

  #begin(piece: Buffer): void {
    this.#begunBytes += piece.length
    if (this.#begunBytes > this.#maxLineBytes) {
      throw new RangeError(`A line is longer than ${this.#maxLineBytes} bytes.`)
    }
    this.#begun.push(piece)
  }

  #complete(piece: Buffer): Buffer {
    const line = Buffer.concat([...this.#begun, piece])
    this.#begun = []
    this.#begunBytes = 0
    return line
  }
}
