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
  $ streambus log check ./streambus-data
  $ streambus log dump ./streambus-data --topic orders --partition 0 --records`,
    )

  log
    .command('check')
    .description('Verify every checksum in a data folder, and every index against the data.')
    .argument('<data>', 'the data folder; its broker must be stopped')
    .addOption(jsonOption('print the result as JSON'))
    .addHelpText(
      'after',
      `
Nothing is changed. Ends with 0 where the folder is sound, with 1 where damage was found, and with 2 where it cannot be
checked: a broker has it open, it is no data folder, a newer release wrote it, or a file cannot be read.
What a crash may leave (an incomplete last write, a file that was only begun) is said, and is no damage.

Examples:
  $ streambus log check ./streambus-data
  $ streambus log check ./streambus-data --json | jq '.findings[].problem'`,
    )
    .action(async (data: string, options: GivenOptions) => {
      await (await import('./log-check.ts')).checkLog(data, options)
    })

  log
    .command('dump')
    .description('Show the record batches of a partition or a file, as kafka-dump-log does.')
    .argument('<data>', 'the data folder; its broker must be stopped')
    .option('--topic <topic>', 'one partition of this topic, in the order of its offsets')
    .option('-p, --partition <n>', 'that partition (default: 0)')
    .option('--file <name>', 'one file of the log folder, such as 00000000000000000001.log, with its events')
    .option('--offset <n>', 'leave out batches that end before this offset')
    .option('--limit <n>', 'stop after so many batches and events')
    .option('--records', 'also each record with key, value and headers')
    .addOption(jsonOption('print each batch or event as one line of JSON, records in full'))
    .addHelpText(
      'after',
      `
Without --topic and --file everything is shown, segments first, as it lies in the files. What is damaged is passed
over as far as what follows it can be read, and named. Records of __consumer_offsets and __transaction_state are shown
as what they say. Nothing is changed.

Examples:
  $ streambus log dump ./streambus-data --topic orders --partition 2 --offset 1000 --limit 5
  $ streambus log dump ./streambus-data --topic __consumer_offsets --partition 9 --records
  $ streambus log dump ./streambus-data --file 00000000000000000001.log --json | jq -c .type`,
    )
    .action(async (data: string, options: GivenOptions) => {
      await (await import('./log-dump.ts')).dumpLog(data, options)
    })

  log
    .command('repair')
    .description('Cut a damaged end off the log, or make indexes again.')
    .argument('<data>', 'the data folder; its broker must be stopped')
    .option('--truncate-at <file:position>', 'end the log before this byte of this log file')
    .option('--indexes', 'make indexes beside log files again that are missing or wrong')
    .option('-y, --yes', 'do not ask before cutting')
    .addOption(jsonOption('print what was done as JSON'))
    .addHelpText(
      'after',
      `
Says what a cut loses, per partition, before it is made. What is cut is kept beside it, in files that end in .damaged.
Where to cut is what \`streambus log check\` names. See docs/REPAIR.md.

Examples:
  $ streambus log repair ./streambus-data --truncate-at 00000000000000000007.log:1044480
  $ streambus log repair ./streambus-data --indexes`,
    )
    .action(async (data: string, options: GivenOptions) => {
      await (await import('./log-repair.ts')).repairLog(data, options)
    })
}
