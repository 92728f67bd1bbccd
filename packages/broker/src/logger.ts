/** Where the broker writes its log lines. A subset of pino's interface, so a pino logger fits as it is. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

const ignore = (): void => undefined

/** The default of an embedded broker: a library does not write to its host's output uninvited. */
export const silentLogger: Logger = { debug: ignore, info: ignore, warn: ignore, error: ignore }
