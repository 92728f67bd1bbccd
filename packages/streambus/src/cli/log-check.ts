import { type CheckReport, checkDataFolder, type Finding } from '@streambus/storage'
import { exitCodes, reportFailure } from './failure.ts'
import { counted, formatBytes, formatCount } from './numbers.ts'
import { print } from './output.ts'
import { megabytesPerSecond, ProgressLine } from './progress-line.ts'
import type { GivenOptions } from './settings.ts'

export async function checkLog(dataDir: string, given: GivenOptions): Promise<void> {
  const progress = new ProgressLine()
  let report: CheckReport
  try {
    report = await checkDataFolder(dataDir, {
      onProgress: ({ bytes, totalBytes }) => progress.show(bytes, totalBytes),
    })
  } catch (error) {
    progress.clear()
    return reportFailure(error, exitCodes.trouble)
  }
  progress.clear()
  print(given, report, () => readable(report))
  process.exitCode = report.isSound ? exitCodes.ok : exitCodes.found
}

function readable(report: CheckReport): string {
  const { findings, findingCount, notes, dataDir, bytes, elapsedMs } = report
  const speed = megabytesPerSecond(bytes / Math.max(1, elapsedMs))
  const lines = [
    `${dataDir}: ${counted(report.logFiles, 'log file')}, ${counted(report.segments, 'segment')}, `,
    `${formatCount(report.indexes)} ${report.indexes === 1 ? 'index' : 'indexes'}\n`,
    `${counted(report.groups, 'group')}, ${formatCount(report.batches)} ${report.batches === 1 ? 'batch' : 'batches'}, `,
    `${counted(report.records, 'record')}; ${formatBytes(bytes)} read in ${(elapsedMs / 1000).toFixed(1)} s (${speed})\n`,
  ]
  for (const { file, position, note } of notes) lines.push(`note: ${placeOf(file, position)}: ${note}\n`)
  for (const finding of findings) lines.push('\n', readableFinding(finding))
  if (findingCount > findings.length) {
    lines.push(`\nand ${formatCount(findingCount - findings.length)} more\n`)
  }
  lines.push(
    findingCount === 0
      ? 'Sound: every checksum is right, and every log is there from its start to its end.\n'
      : `\n${findingCount === 1 ? '1 place is' : `${formatCount(findingCount)} places are`} damaged.\n`,
  )
  return lines.join('')
}

function readableFinding({ file, position, topic, partition, offset, ...finding }: Finding): string {
  const log = topic === null ? '' : `, '${topic}'-${partition}${offset === null ? '' : ` offset ${offset}`}`
  return [
    `DAMAGED ${placeOf(file, position)}${log}\n`,
    `  what:    ${finding.problem}\n`,
    `  lost:    ${finding.lost}\n`,
    `  way out: ${finding.wayOut}\n`,
  ].join('')
}

function placeOf(file: string, position: number | null): string {
  return position === null ? file : `${file} at byte ${position}`
}
