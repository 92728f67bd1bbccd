import { exitCodes } from './failure.ts'
import type { GivenOptions } from './settings.ts'

let onReaderGone: () => void = () => process.exit(exitCodes.ok)

/** Whoever reads our output may leave whenever it has enough (`| head`): that is no failure. */
export function watchOutput(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
      onReaderGone()
    })
  }
}

/** For commands that have something to put in order before they end; without it they end at once. */
export function whenReaderIsGone(run: () => void): void {
  onReaderGone = run
}

/** Resolves when the bytes are handed over; rejects where nobody takes them any more. */
export function write(bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(bytes, (error) => (error ? reject(error) : resolve()))
  })
}

/** The result of a command: JSON where that was asked for, else what people read. */
export function print(given: GivenOptions, data: unknown, readable: () => string): void {
  process.stdout.write(given.json ? `${JSON.stringify(data, null, 2)}\n` : readable())
}
