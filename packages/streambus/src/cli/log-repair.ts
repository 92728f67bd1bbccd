import { createInterface } from 'node:readline/promises'
import { parseCut, rebuildIndexes, type TruncationPlan, truncateDataFolder } from '@streambus/storage'
import { CommandError, UsageError } from './failure.ts'
import { counted, formatBytes, formatCount, table } from './numbers.ts'
import { print } from './output.ts'
import type { GivenOptions } from './settings.ts'

export async function repairLog(dataDir: string, given: GivenOptions): Promise<void> {
  const { truncateAt } = given as { truncateAt?: string }
  if ((truncateAt === undefined) === (given.indexes !== true)) {
    throw new UsageError('Say what to repair: either --truncate-at or --indexes.')
  }
  if (truncateAt === undefined) return await repairIndexes(dataDir, given)
  const cut = parseCut(truncateAt)
  if (cut === null) {
    throw new UsageError(
      `--truncate-at takes FILE:POSITION, such as 00000000000000000001.log:8192, not '${truncateAt}'.`,
    )
  }
  const { plan, kept } = await truncateDataFolder(dataDir, cut, (found) => isConfirmed(found, given))
  if (kept === null) throw new CommandError('Nothing was changed.')
  print(given, { ...plan, kept }, () =>
    [
      given.yes === true ? readable(plan) : '',
      `Cut. What was cut is kept in:\n${kept.map((path) => `  ${path}\n`).join('')}`,
      plan.needsNewCheckpoint ? 'The next start reads the whole log once.\n' : '',
    ].join(''),
  )
}

async function isConfirmed(plan: TruncationPlan, given: GivenOptions): Promise<boolean> {
  if (given.yes === true) return true
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    process.stderr.write(readable(plan))
    throw new CommandError('Nothing was changed: this needs --yes where no terminal can be asked')
  }
  process.stderr.write(readable(plan))
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  // Ctrl-C and Ctrl-D close it. Node.js 20.19 then leaves the question without an answer.
  const closed = new AbortController()
  terminal.once('close', () => closed.abort())
  try {
    const { signal } = closed
    return (await terminal.question('Cut it off? Type yes: ', { signal })).trim() === 'yes'
  } catch (error) {
    if (error instanceof Error && error.name === 'AbortError') return false
    throw error
  } finally {
    terminal.close()
  }
}

function readable(plan: TruncationPlan): string {
  const { file, position, lost, changes, changeCount, unreadableBytes } = plan
  const records = lost.reduce((sum, one) => sum + one.records, 0)
  const lines = [`Cutting the log before byte ${position} of ${file}.\n`]
  if (lost.length === 0) lines.push('No record is lost that can be read.\n')
  else {
    lines.push(
      `${counted(records, 'record')} in ${counted(lost.length, 'partition')} are lost:\n`,
      table([
        ['Topic', 'Partition', 'From offset', 'To offset', 'Records', 'Size'],
        ...lost.map((one) => [
          one.topic ?? `(deleted, log ${one.logId})`,
          one.partition ?? '-',
          one.firstOffset,
          one.endOffset - 1,
          one.records,
          formatBytes(one.bytes),
        ]),
      ]),
    )
  }
  if (unreadableBytes > 0)
    lines.push(`And what lay in ${formatBytes(unreadableBytes)} that cannot be read.\n`)
  if (changeCount > 0) {
    lines.push(`${counted(changeCount, 'change')} of topics or settings are undone:\n`)
    for (const change of changes) lines.push(`  ${JSON.stringify(change)}\n`)
    if (changeCount > changes.length) lines.push(`  and ${formatCount(changeCount - changes.length)} more\n`)
  }
  return lines.join('')
}

async function repairIndexes(dataDir: string, given: GivenOptions): Promise<void> {
  const result = await rebuildIndexes(dataDir)
  const { rebuilt, leftAlone } = result
  print(given, result, () =>
    [
      rebuilt.length === 0 ? 'No index had to be made again.\n' : '',
      ...rebuilt.map((name) => `${name}: made again.\n`),
      ...leftAlone.map((name) => `${name}: left alone, for its log file is damaged.\n`),
    ].join(''),
  )
}
