/** What a soak has found, as lines, as Markdown, and as a page of the docs. */
import { writeFile } from 'node:fs/promises'
import { workspaceDir } from '../../peers/workspace.ts'
import { describeMachine } from '../machine.ts'
import { type Comparison, describeRule } from './flatness.ts'
import { byMinutes, columns, type Interval } from './intervals.ts'
import { PLOT_TITLE, plot } from './plot.ts'
import { describeLoad } from './soak-load.ts'

export interface Found {
  readonly version: string
  readonly command: string
  readonly intervalSeconds: number
  readonly intervals: readonly Interval[]
  readonly comparisons: readonly Comparison[]
  /** By the consumers. */
  readonly bytesRead: number
}

/** Of the line that is printed for each interval. */
export function lineTitles(): string {
  return ['time', ...columns.map(({ title }) => title)].join('  ')
}

export function lineOf(interval: Interval): string {
  const cells = columns.map(({ title, figureOf }) => shown(figureOf(interval)).padStart(title.length))
  return [`${Math.round(interval.endSeconds)} s`.padStart(4), ...cells].join('  ')
}

/** Medians of the intervals in each minute; of the maximum the largest. */
export function minutesTable(intervals: readonly Interval[]): string {
  const rows = byMinutes(intervals).map((minute, index) => {
    const cells = columns.map(({ figureOf, together }) => shown(together(minute.map(figureOf))))
    return `| ${[index + 1, ...cells].join(' | ')} |`
  })
  const titles = ['minute', ...columns.map(({ title }) => title)]
  return [`| ${titles.join(' | ')} |`, `|${'---|'.repeat(titles.length)}`, ...rows].join('\n')
}

export function verdictTable(comparisons: readonly Comparison[]): string {
  const rows = comparisons.map(({ name, ratio, limit, isFlat }) => {
    const met = isFlat === null ? 'absent here' : isFlat ? 'yes' : '**no**'
    return `| ${name} | ${ratio === null ? '–' : `${ratio.toFixed(2)} ×`} | ${limit} | ${met} |`
  })
  return ['| last third of second third | | flat if | flat |', '|---|---|---|---|', ...rows].join('\n')
}

export function verdict({ comparisons, bytesRead }: Pick<Found, 'comparisons' | 'bytesRead'>): string {
  const grown = comparisons.filter(({ isFlat }) => isFlat === false).map(({ name }) => name)
  const read = `The consumers read ${(bytesRead / 1e9).toFixed(0)} GB to its end, without a gap, a repeat or a damaged batch.`
  return grown.length === 0 ? `Flat. ${read}` : `Not flat: ${grown.join(', ')}. ${read}`
}

export async function writeDocument(found: Found): Promise<void> {
  const { version, command, intervalSeconds, intervals, comparisons } = found
  const minutes = Math.round(intervals.at(-1)!.endSeconds / 60)
  const page = [
    '# A soak',
    `Whether a broker at full load stays as it is while what it was sent is forgotten: memory, files and latency over ${minutes} minutes. This page and its plot are written by \`npm run bench:soak -- --write\`.`,
    `![${PLOT_TITLE}](soak.svg)`,
    `**${verdict(found)}**`,
    verdictTable(comparisons),
    describeRule(),
    '## What was run',
    [
      `- \`${command}\`, ${new Date().toISOString().slice(0, 16)}Z, StreamBus ${version}, intervals of ${intervalSeconds} s`,
      `- Machine: ${describeMachine()}. Everything ran on it: the broker in a process of its own, the load in others`,
      ...describeLoad().map((line) => `- ${line}`),
    ].join('\n'),
    '## By the minute',
    'Medians of the intervals; of the maximum the largest. “cores” is the CPU time of the broker, “others” what processes had that were no part of this. “handles” are open file descriptors, sockets included; “lag” is how far the consumers were behind.',
    minutesTable(intervals),
  ].join('\n\n')
  await writeFile(`${workspaceDir}/docs/SOAK.md`, `${page}\n`)
  await writeFile(`${workspaceDir}/docs/soak.svg`, plot(intervals))
}

function shown(figure: number | null): string {
  if (figure === null) return '–'
  const digits = Math.abs(figure) >= 1000 ? 4 : 3
  return figure.toLocaleString('en-US', { maximumSignificantDigits: digits })
}
