import type { Logger } from '@streambus/broker'
import { pino } from 'pino'

type Level = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** JSON lines on standard error for machines; where that is a terminal, lines for people. */
export function brokerLogger(level: Level): Logger {
  const forPeople = process.stderr.isTTY
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    // Synchronous: the line that says why the process ends must be out before it does.
    forPeople ? { write: writeForPeople } : pino.destination({ fd: 2, sync: true }),
  )
}

const colours: Readonly<Record<string, number>> = { debug: 90, info: 36, warn: 33, error: 31 }

function writeForPeople(line: string): void {
  const { level, time, msg, ...fields } = JSON.parse(line) as { level: string; time: string; msg: string }
  const clock = time.slice(11, 23)
  const colour = process.env.NO_COLOR ? undefined : colours[level]
  const label = level.toUpperCase().padEnd(5)
  const rest = Object.entries(fields).map(([name, value]) => {
    return ` ${name}=${typeof value === 'object' ? JSON.stringify(value) : String(value)}`
  })
  const painted = colour === undefined ? label : `\x1b[${colour}m${label}\x1b[0m`
  process.stderr.write(`${clock} ${painted} ${msg}${rest.join('')}\n`)
}
