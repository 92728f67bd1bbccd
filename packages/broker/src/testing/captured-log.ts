import type { Logger } from '../logger.ts'

/** A logger that keeps its lines. */
export class CapturedLog implements Logger {
  readonly lines: { level: string; fields: object; message: string }[] = []
  readonly #waiting: { pattern: RegExp; resolve: () => void }[] = []

  debug(fields: object, message: string): void {
    this.#add('debug', fields, message)
  }

  info(fields: object, message: string): void {
    this.#add('info', fields, message)
  }

  warn(fields: object, message: string): void {
    this.#add('warn', fields, message)
  }

  error(fields: object, message: string): void {
    this.#add('error', fields, message)
  }

  /** Resolves when a line that matches was written, before or after the call. */
  has(pattern: RegExp): Promise<void> {
    if (this.lines.some(({ message }) => pattern.test(message))) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ pattern, resolve }))
  }

  #add(level: string, fields: object, message: string): void {
    this.lines.push({ level, fields, message })
    for (const { pattern, resolve } of this.#waiting) if (pattern.test(message)) resolve()
  }
}
