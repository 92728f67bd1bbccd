import type { Command } from 'commander'
import { brokersOption, collect, configOption, jsonOption } from './options.ts'
import type { GivenOptions } from './settings.ts'

export function addGroupCommand(program: Command): void {
  const group = program
    .command('group')
    .description('List, describe, reset and delete consumer groups.')
    .addHelpText(
      'after',
      `
Examples:
  $ streambus group list
  $ streambus group describe billing
  $ streambus group reset-offsets billing --topic orders --to-earliest
  $ streambus group delete billing`,
    )

  group
    .command('list')
    .description('List the groups with their state and how many members they have.')
    .addOption(brokersOption())
    .addOption(configOption())
    .addOption(jsonOption('print them as one JSON array'))
    .addHelpText(
      'after',
      "\nExamples:\n  $ streambus group list\n  $ streambus group list --json | jq -r '.[].group'",
    )
    .action(async (options: GivenOptions) => {
      await (await import('./group.ts')).listGroups(options)
    })

  group
    .command('describe')
    .description('Show the members of a group, and per partition how far it was read.')
    .argument('<group>')
    .addOption(brokersOption())
    .addOption(configOption())
    .addOption(jsonOption('print it as JSON'))
    .addHelpText(
      'after',
      `
Committed is the offset the group goes on with, End the one the next message gets, Lag what is in between.

Examples:
  $ streambus group describe billing
  $ streambus group describe billing --json | jq .lag`,
    )
    .action(async (name: string, options: GivenOptions) => {
      await (await import('./group.ts')).describeGroup(name, options)
    })

  group
    .command('reset-offsets')
    .description('Set where a group without running members goes on. Shows the change; --execute makes it.')
    .argument('<group>')
    .option('--topic <topic[:p,…]>', 'topic, or some of its partitions; may be given more than once', collect)
    .option('--all-topics', 'every partition the group has committed an offset of')
    .option('--to-earliest', 'to the first message still held')
    .option('--to-latest', 'to the end: only new messages are read')
    .option('--to-offset <n>', 'to this offset')
    .option('--to-datetime <time>', 'to the first message of this time (ISO 8601) or later')
    .option('--shift-by <n>', 'so many messages forward, or back with -n')
    .option('--dry-run', 'only show what would change (the default)')
    .option('--execute', 'make the change')
    .addOption(brokersOption())
    .addOption(configOption())
    .addOption(jsonOption('print the change as JSON'))
    .addHelpText(
      'after',
      `
Offsets outside of what the log holds become the nearest one it holds. A group that does not exist is made.

Examples:
  $ streambus group reset-offsets billing --topic orders --to-earliest
  $ streambus group reset-offsets billing --topic orders:0,2 --shift-by -100 --execute
  $ streambus group reset-offsets billing --all-topics --to-datetime 2026-11-23T10:00:00Z --execute`,
    )
    .action(async (name: string, options: GivenOptions) => {
      await (await import('./reset-offsets.ts')).resetOffsets(name, options)
    })

  group
    .command('delete')
    .description('Delete a group without running members, and with it how far it came.')
    .argument('<group>')
    .addOption(brokersOption())
    .addOption(configOption())
    .addOption(jsonOption('print the result as JSON'))
    .addHelpText('after', '\nExamples:\n  $ streambus group delete billing')
    .action(async (name: string, options: GivenOptions) => {
      await (await import('./group.ts')).deleteGroup(name, options)
    })
}
