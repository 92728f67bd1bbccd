import { StreamBusError } from '@streambus/client'

export function invalidArgument(message: string): StreamBusError {
  return new StreamBusError('INVALID_ARGUMENT', message)
}

/** `'5'` is a string, and wrong for that. */
function shown(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : String(value)
}

/** A time or a count. */
export function positive(name: string, value: number): number {
  if (typeof value === 'number' && value > 0 && value <= Number.MAX_SAFE_INTEGER) return value
  throw invalidArgument(`${name} must be a number above 0, not ${shown(value)}.`)
}

export function wholeNumber(name: string, value: number): number {
  if (Number.isInteger(positive(name, value))) return value
  throw invalidArgument(`${name} must be a whole number, not ${shown(value)}.`)
}
