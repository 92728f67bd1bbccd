import { createWriteStream, type WriteStream } from 'node:fs'

/** What the clients say of themselves, and the troubles among it, in one file: for whoever looks into a failure. */
export class ClientLog {
  readonly #file: WriteStream
  readonly #startedMs = performance.now()

  constructor(file: string) {
    this.#file = createWriteStream(file)
  }

  /** A logger for a client of this name. */
  of(name: string): { debug(message: string): void; warn(message: string): void } {
    return { debug: (message) => this.note(name, message), warn: (message) => this.note(name, message) }
  }

  note(name: string, message: string): void {
    const seconds = ((performance.now() - this.#startedMs) / 1_000).toFixed(3)
    this.#file.write(`${seconds} ${name}: ${message}\n`)
  }
}
