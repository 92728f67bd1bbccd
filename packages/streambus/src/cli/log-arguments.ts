import type { Command } from 'commander'
import { jsonOption } from './options.ts'
import type { GivenOptions } from './settings.ts'

export function addLogCommand(program: Command): void {
  const log = program
    .command('log')
    .description('Check, show and repair a data folder, with its broker stopped.')
    .addHelpText(
      'after',
      `
Examples:
  $ streambus log check ./streambus-data`,
    )

  log
    .command('check')
    .description('Verify every checksum in a data folder, and every index against the data.')
    .argument('<data>', 'the data folder; its broker must be stopped')
    .addOption(jsonOption('print the result as JSON'))
    .addHelpText(
      'after',
      `
Nothing is changed. Ends with 0 where the folder is sound, with 1 where damage was found or it cannot be checked.
What a crash may leave (an incomplete last write, a file that was only begun) is said, and is no damage.

Examples:
  $ streambus log check ./streambus-data
  $ streambus log check ./streambus-data --json | jq '.findings[].problem'`,
    )
    .action(async (data: string, options: GivenOptions) => {
      await (await import('./log-check.ts')).checkLog(data, options)
    })
}
