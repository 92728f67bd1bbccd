import type { Logger as SdkLogger } from '../options.ts'

/** What is logged: everything at this level and the more urgent ones. */
export const logLevel = { NOTHING: 0, ERROR: 1, WARN: 2, INFO: 4, DEBUG: 5 } as const
export type logLevel = (typeof logLevel)[keyof typeof logLevel]

export interface LoggerEntryContent {
  readonly timestamp: string
  readonly message: string
  // biome-ignore lint/suspicious/noExplicitAny: what a caller adds is of any type, as in kafkajs.
  [key: string]: any
}

export interface LogEntry {
  namespace: string
  level: logLevel
  label: string
  log: LoggerEntryContent
}

export type logCreator = (logLevel: logLevel) => (entry: LogEntry) => void

export type Logger = {
  info: (message: string, extra?: object) => void
  error: (message: string, extra?: object) => void
  warn: (message: string, extra?: object) => void
  debug: (message: string, extra?: object) => void

  namespace: (namespace: string, logLevel?: logLevel) => Logger
  setLogLevel: (logLevel: logLevel) => void
}

/** @param level KAFKAJS_LOG_LEVEL of the environment comes before it */
export function createLogger(level: logLevel = logLevel.INFO, creator: logCreator = toConsole): Logger {
  let current = levelOfEnvironment() ?? level
  const write = creator(current)
  const loggerOf = (namespace: string, own: logLevel | undefined): Logger => {
    const at = (label: string, entryLevel: logLevel) => {
      return (message: string, extra: object = {}) => {
        if (entryLevel > (own ?? current)) return
        const timestamp = new Date().toISOString()
        write({
          namespace,
          level: entryLevel,
          label,
          log: { timestamp, logger: 'kafkajs', message, ...extra },
        })
      }
    }
    return {
      info: at('INFO', logLevel.INFO),
      error: at('ERROR', logLevel.ERROR),
      warn: at('WARN', logLevel.WARN),
      debug: at('DEBUG', logLevel.DEBUG),
      namespace: (name, nameLevel) => loggerOf(name, levelOfEnvironment() ?? nameLevel),
      setLogLevel: (next) => {
        current = next
      },
    }
  }
  return loggerOf('', undefined)
}

function levelOfEnvironment(): logLevel | undefined {
  const name = (process.env.KAFKAJS_LOG_LEVEL ?? '').toUpperCase()
  return Object.hasOwn(logLevel, name) ? logLevel[name as keyof typeof logLevel] : undefined
}

function toConsole(): (entry: LogEntry) => void {
  return ({ namespace, level, label, log }) => {
    const prefix = namespace === '' ? '' : `[${namespace}] `
    const line = JSON.stringify({ level: label, ...log, message: `${prefix}${log.message}` })
    if (level === logLevel.INFO) console.info(line)
    else if (level === logLevel.ERROR) console.error(line)
    else if (level === logLevel.WARN) console.warn(line)
    else console.log(line)
  }
}

/** What the SDK says of itself goes to the same place. */
export function sdkLogger(logger: Logger): SdkLogger {
  const own = logger.namespace('StreamBus')
  return { debug: (message) => own.debug(message), warn: (message) => own.warn(message) }
}
