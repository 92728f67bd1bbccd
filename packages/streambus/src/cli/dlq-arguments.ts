import type { Command } from 'commander'
import { brokersOption, collect, configOption, jsonOption } from './options.ts'
import type { GivenOptions } from './settings.ts'

export function addDeadLetterCommand(program: Command): void {
  const dlq = program
    .command('dlq')
    .description('List and replay dead letters: messages that a consumer could not handle.')
    .addHelpText(
      'after',
      `
Examples:
  $ streambus dlq list orders.dlq
  $ streambus dlq replay orders.dlq
  $ streambus dlq replay orders.dlq --execute`,
    )

  dlq
    .command('list')
    .description('Show what lies in a dead letter topic, where it comes from and why.')
    .argument('<topic>', 'the dead letter topic')
    .option('-n, --limit <n>', 'show so many (default: 1000)')
    .addOption(brokersOption())
    .addOption(configOption())
    .addOption(jsonOption('print them as one JSON array'))
    .addHelpText(
      'after',
      `
Origin is topic/partition/offset of the message that could not be handled; - where a message is no dead letter.

Examples:
  $ streambus dlq list orders.dlq
  $ streambus dlq list orders.dlq --json | jq 'map(select(.replayed | not))'
  $ streambus consume orders.dlq --json -e        # with keys, values and all headers`,
    )
    .action(async (topic: string, options: GivenOptions) => {
      await (await import('./dlq-list.ts')).listDeadLetters(topic, options)
    })

  dlq
    .command('replay')
    .description('Send dead letters to the topic they come from. Shows which; --execute sends them.')
    .argument('<topic>', 'the dead letter topic')
    .option('--to <topic>', 'send them there (default: each to the topic it comes from)')
    .option('--offset <[p:]n>', 'only the one at this offset; may be given more than once', collect)
    .option('--group <id>', 'only what this group gave up')
    .option('-n, --limit <n>', 'replay so many (default: 10000)')
    .option('--dry-run', 'only show what would be sent (the default)')
    .option('--execute', 'send them')
    .addOption(brokersOption())
    .addOption(configOption())
    .addOption(jsonOption('print the result as JSON'))
    .addHelpText(
      'after',
      `
Messages are sent with the key, value, headers and timestamp they had, to the partition they come from or, with --to,
by their key. What was replayed is remembered by group streambus-dlq-replay.<topic>, so that it is not sent again; a
crash in the middle may repeat the last batch, and two replays of one topic at once repeat each other. To replay
everything again, set the group back with streambus group reset-offsets.

A message that several groups gave up lies here once for each of them, and whoever reads the topic it comes from gets
every copy that is sent: --group sends those of one group, and remembers that by streambus-dlq-replay.<topic>/<group>.

Examples:
  $ streambus dlq replay orders.dlq
  $ streambus dlq replay orders.dlq --execute
  $ streambus dlq replay orders.dlq --group billing --execute
  $ streambus dlq replay orders.dlq --offset 2:17 --offset 2:19 --to orders.retry --execute`,
    )
    .action(async (topic: string, options: GivenOptions) => {
      await (await import('./dlq-replay.ts')).replayDeadLetters(topic, options)
    })
}
