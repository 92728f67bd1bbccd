import {
  isStreamBusError,
  type LogDirDescription,
  type LogDirMaintenance,
  type StreamBus,
} from '@streambus/client'
import { warn } from './failure.ts'
import { counted, formatBytes } from './numbers.ts'

/** Empty where the brokers do not tell, or not this user: the rest of what is known of them is shown all the same. */
export async function describedLogDirs(bus: StreamBus): Promise<LogDirDescription[]> {
  try {
    return await bus.admin.describeLogDirs()
  } catch (error) {
    if (!isStreamBusError(error)) throw error
    if (error.code !== 'UNSUPPORTED_API' && error.code !== 'NOT_AUTHORIZED') {
      warn(`What the brokers do in the background is not known: ${error.message}`)
    }
    return []
  }
}

/** The background work of the brokers that tell of it: those of StreamBus. */
export function maintenanceLines(dirs: readonly LogDirDescription[]): string[] {
  return dirs.flatMap(({ broker, path, maintenance }) =>
    maintenance === null ? [] : ['\n', ...linesOf(broker, path, maintenance)],
  )
}

function linesOf(
  broker: number,
  path: string,
  { sinceMs, retention, compaction, merging, backlog, failures, lastFailure, ...files }: LogDirMaintenance,
): string[] {
  const { logsToCompact, bytesToCompact, filesToMerge, bytesToMerge } = backlog
  const waiting = [
    ...(logsToCompact > 0
      ? [`${counted(logsToCompact, 'log')} to compact (${formatBytes(bytesToCompact)})`]
      : []),
    ...(filesToMerge > 0 ? [`${counted(filesToMerge, 'file')} to merge (${formatBytes(bytesToMerge)})`] : []),
  ]
  return [
    `Background work of broker ${broker} on ${path} since ${new Date(sinceMs).toISOString()}:\n`,
    `  Files:       ${counted(files.logFiles, 'log file')}, ${counted(files.segments, 'segment')}, `,
    `${formatBytes(files.fileBytes)} for ${formatBytes(files.liveBytes)} of records\n`,
    `  Retention:   ${counted(retention.checks, 'check')}, ${formatBytes(retention.freedBytes)} freed\n`,
    `  Compaction:  ${passes(compaction.passes)}, ${formatBytes(compaction.writtenBytes)} written\n`,
    `  Merging:     ${passes(merging.passes)}, ${formatBytes(merging.writtenBytes)} written\n`,
    `  To do:       ${waiting.length === 0 ? 'nothing' : waiting.join(', ')}\n`,
    `  Failures:    ${failures}`,
    lastFailure === null
      ? '\n'
      : `, the last at ${new Date(lastFailure.atMs).toISOString()}: ${lastFailure.message}\n`,
  ]
}

function passes(count: number): string {
  return count === 1 ? '1 pass' : `${count} passes`
}
