import type { Command } from 'commander'
import { brokersOption, configOption, jsonOption } from './options.ts'
import type { GivenOptions } from './settings.ts'

export function addTransactionCommand(program: Command): void {
  const transaction = program
    .command('txn')
    .description('List, describe and abort transactions.')
    .addHelpText(
      'after',
      `
Examples:
  $ streambus txn list
  $ streambus txn describe payments-1
  $ streambus txn abort payments-1`,
    )

  transaction
    .command('list')
    .description('List the transactional ids with the state of their transactions.')
    .addOption(brokersOption())
    .addOption(configOption())
    .addOption(jsonOption('print them as one JSON array'))
    .addHelpText('after', '\nExamples:\n  $ streambus txn list')
    .action(async (options: GivenOptions) => {
      await (await import('./transaction.ts')).listTransactions(options)
    })

  transaction
    .command('describe')
    .description('Show the producer, the age and the partitions of a transaction.')
    .argument('<transactional-id>')
    .addOption(brokersOption())
    .addOption(configOption())
    .addOption(jsonOption('print it as JSON'))
    .addHelpText('after', '\nExamples:\n  $ streambus txn describe payments-1')
    .action(async (id: string, options: GivenOptions) => {
      await (await import('./transaction.ts')).describeTransaction(id, options)
    })

  transaction
    .command('abort')
    .description('Abort the transaction of a transactional id; its producer cannot go on.')
    .argument('[transactional-id]')
    .option('--topic <topic>', 'abort what hangs in a partition of this topic, without its coordinator')
    .option('-p, --partition <n>', 'that partition')
    .option('--start-offset <offset>', 'where the transaction begins in that partition')
    .addOption(brokersOption())
    .addOption(configOption())
    .addOption(jsonOption('print the result as JSON'))
    .addHelpText(
      'after',
      `
A transaction that its coordinator has forgotten keeps readers of committed messages waiting for ever. It is known
by where it begins only: name topic, partition and start offset in place of the transactional id.

Examples:
  $ streambus txn abort payments-1
  $ streambus txn abort --topic payments --partition 3 --start-offset 4711`,
    )
    .action(async (id: string | undefined, options: GivenOptions) => {
      await (await import('./transaction.ts')).abortTransaction(id, options)
    })
}
