/** Reads ISO 8601 or milliseconds since 1970; undefined where it is neither. */
export function parseTime(time: string): Date | undefined {
  const date = new Date(/^\d+$/.test(time) ? Number(time) : time)
  return time === '' || Number.isNaN(date.getTime()) ? undefined : date
}
