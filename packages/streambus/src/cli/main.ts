/**
 * The command line. Only arguments are looked at here; each command's code is loaded when it is run, so that
 * starting a broker does not load the client and sending a message does not load the broker.
 */
import { Command, CommanderError } from 'commander'
import { version } from '../version.ts'
import { addDeadLetterCommand } from './dlq-arguments.ts'
import { exitCodes, reportFailure } from './failure.ts'
import { addGroupCommand } from './group-arguments.ts'
import { addLogCommand } from './log-arguments.ts'
import { brokersOption, collect, configOption, jsonOption } from './options.ts'
import { watchOutput } from './output.ts'
import type { GivenOptions } from './settings.ts'
import { addTransactionCommand } from './transaction-arguments.ts'

const program = new Command('streambus')
  .description('Durable event streaming: a broker and its tools. They speak the Apache Kafka protocol.')
  .version(version, '-V, --version', 'print the version')
  .helpOption('-h, --help', 'show help')
  .helpCommand('help [command]', 'show help for a command')
  .showSuggestionAfterError()
  .addHelpText(
    'after',
    `
Examples:
  $ streambus start                              start a broker on 127.0.0.1:9092
  $ streambus produce greetings -k k1 -m hello   send one message
  $ streambus produce words < words.txt          send every line of a file
  $ streambus consume greetings                  read from the beginning, and go on
  $ streambus consume greetings --group mail     read as a member of a group, which remembers how far it came

Brokers that want TLS or a password: these are read from the environment, or from the file named by --config
(tls: true, tlsCa: ca.pem, saslMechanism: scram-sha-512, …), and never from the command line:
  STREAMBUS_TLS=true                             speak TLS; trust what Node.js trusts
  STREAMBUS_TLS_CA, _TLS_CERT, _TLS_KEY          files in PEM: whom to trust, and who the client is
  STREAMBUS_SASL_MECHANISM                       plain, scram-sha-256, scram-sha-512 or oauthbearer
  STREAMBUS_USERNAME, _PASSWORD, _TOKEN          what the mechanism needs

Exit codes: 0 done, 1 failed, 2 wrong arguments; of log check 1 damage, 2 not checked.
Set STREAMBUS_DEBUG=1 to see stack traces with errors, NO_COLOR=1 to see no colours.`,
  )

program
  .command('start')
  .description('Start a broker and keep it running until Ctrl-C or SIGTERM.')
  .option('--host <address>', 'address to listen on (default: 127.0.0.1)')
  .option('--port <port>', 'port to listen on, 0 for any free one (default: 9092)')
  .option('--data <folder>', 'where records are kept (default: ./streambus-data)')
  .option(
    '--durability <mode>',
    'fsync: acknowledged means on disk; os: with the operating system (default: fsync)',
  )
  .option('--advertise <host:port>', 'address that clients are told to connect to (default: host and port)')
  .option('--auto-create-topics', 'create topics when they are first used (the default)')
  .option('--no-auto-create-topics', 'do not')
  .option('--default-partitions <n>', 'partitions of topics whose creator names no number (default: 1)')
  .option('--max-frame-bytes <bytes>', 'largest request accepted (default: 104857600)')
  .option('--max-connections <n>', 'connections at once (default: 10000)')
  .option('--max-partitions <n>', 'partitions of all topics together (default: 200000)')
  .option('--cache-bytes <bytes>', 'memory for the newest records (default: 67108864)')
  .option('--truncate-damaged', 'start although records on disk are damaged: keep what precedes the damage')
  .option('--connection-idle-ms <ms>', 'close connections that are idle for so long (default: 600000)')
  .option('--shutdown-timeout-ms <ms>', 'how long a stop waits for requests in flight (default: 10000)')
  .option(
    '--set <name=value>',
    'a setting of groups or transactions, by its Kafka name; may be given more than once',
    collect,
  )
  .option('--log-level <level>', 'debug, info, warn, error or silent (default: info)')
  .addOption(configOption())
  .addOption(jsonOption('print the ready line as JSON'))
  .addHelpText(
    'after',
    `
Every option can be set in the environment (--default-partitions is STREAMBUS_DEFAULT_PARTITIONS) and in the
configuration file (defaultPartitions: 3). An option wins over the environment, that over the file.
One line on standard output says when the broker is ready; its log goes to standard error, as JSON lines.

Examples:
  $ streambus start
  $ streambus start --port 19092 --data /var/lib/streambus
  $ streambus start --host 0.0.0.0 --advertise broker.example.com:9092
  $ streambus start --set group.initial.rebalance.delay.ms=0 --set offsets.retention.minutes=20160
  $ STREAMBUS_DURABILITY=os streambus start --config streambus.yaml`,
  )
  .action(async (options: GivenOptions, command: Command) => {
    // A negatable option has the default true, which must not hide what the environment and the file say.
    const autoCreate = command.getOptionValueSource('autoCreateTopics') === 'cli'
    const given = autoCreate ? options : { ...options, autoCreateTopics: undefined }
    await (await import('./start.ts')).start(given)
  })

program
  .command('produce')
  .description('Send a message, or every line of standard input.')
  .argument('<topic>', 'topic to send to')
  .option('-m, --message <value>', 'value of one message; without it, lines are read from standard input')
  .option('-k, --key <key>', 'key of the message, or of every line')
  .option(
    '-K, --key-separator <text>',
    'split each line into key and value at the first of these; each has to have one',
  )
  .option('-H, --header <name=value>', 'header; may be given more than once', collect)
  .option('-p, --partition <n>', 'partition to send to (default: by key, or spread in batches)')
  .option('--compression <codec>', 'none, gzip, snappy, lz4 or zstd (default: none)')
  .option('--acks <acks>', 'all, 1 or 0: which brokers must have a message before it counts (default: all)')
  .option('--timeout <seconds>', 'give up when a message is not acknowledged for so long (default: 30)')
  .addOption(brokersOption())
  .addOption(configOption())
  .addOption(jsonOption('print where messages went as JSON'))
  .addHelpText(
    'after',
    `
Lines end with a newline, which is not sent; all other bytes are sent as they are. Where a message went is
printed on standard output, the summary of many on standard error.

Examples:
  $ streambus produce orders -k customer-7 -m '{"id": 42}' -H source=shop
  $ streambus produce words < /usr/share/dict/words
  $ tail -F app.log | streambus produce logs --compression zstd
  $ printf 'k1:v1\\nk2:v2\\n' | streambus produce pairs -K :`,
  )
  .action(async (topic: string, options: GivenOptions) => {
    await (await import('./produce.ts')).produce(topic, options)
  })

program
  .command('consume')
  .description('Print the messages of a topic, and go on with those that come.')
  .argument('<topic>', 'topic to read')
  .option(
    '-o, --offset <position>',
    'beginning, end, an offset, -N for the last N of each partition, or @time (default: beginning)',
  )
  .option('-n, --count <n>', 'stop after so many messages')
  .option('-p, --partition <n,…>', 'partitions to read (default: all)')
  .option('-e, --exit', 'stop at what is the end of the topic now')
  .option('-g, --group <name>', 'read as a member of this consumer group; see below')
  .option('-f, --format <format>', 'how to print a message; see below')
  .option('--uncommitted', 'also messages of transactions that are open or were aborted')
  .option('-q, --quiet', 'do not say on standard error what is read')
  .addOption(brokersOption())
  .addOption(configOption())
  .addOption(jsonOption('print each message as one line of JSON; bytes that are no UTF-8 as {"base64": "…"}'))
  .addHelpText(
    'after',
    `
Formats: %t topic, %p partition, %o offset, %T timestamp (ms), %k key, %s value, %h headers, %% a percent sign,
\\n newline, \\t tab, \\r, \\0, \\\\. Keys and values come out byte for byte; nothing is added between messages.
A time is ISO 8601 (@2026-11-23T10:00:00Z) or milliseconds since 1970 (@1795428000000).

A group shares out the partitions among its members and remembers how far each was read: reading goes on there,
and -o counts only where the group has read nothing yet. Offsets are committed after messages are printed, so that
none is lost and a crash may repeat the last ones; -n, -e and Ctrl-C commit exactly what was printed.

Examples:
  $ streambus consume orders -o 0 -n 1
  $ streambus consume orders --group billing
  $ streambus consume orders -o -10 -e
  $ streambus consume words -e -f '%s\\n' > words.txt
  $ streambus consume orders -o @2026-11-23T10:00:00Z --json | jq .value`,
  )
  .action(async (topic: string, options: GivenOptions) => {
    await (await import('./consume.ts')).consume(topic, options)
  })

const topicCommand = program
  .command('topic')
  .description('Create, list, describe and delete topics.')
  .addHelpText(
    'after',
    `
Examples:
  $ streambus topic create orders --partitions 6
  $ streambus topic list
  $ streambus topic describe orders
  $ streambus topic delete orders`,
  )

topicCommand
  .command('create')
  .description('Create a topic.')
  .argument('<name>', '1 to 249 letters, digits, dots, underscores and hyphens')
  .option('--partitions <n>', 'number of partitions (default: as the broker is set up)')
  .option('--replication-factor <n>', 'number of copies (default: as the broker is set up)')
  .option('--set <name=value>', 'setting of the topic; may be given more than once', collect)
  .addOption(brokersOption())
  .addOption(configOption())
  .addOption(jsonOption('print the result as JSON'))
  .addHelpText(
    'after',
    `
Examples:
  $ streambus topic create orders --partitions 6
  $ streambus topic create state --set cleanup.policy=compact --set max.message.bytes=2000000`,
  )
  .action(async (name: string, options: GivenOptions) => {
    await (await import('./topic.ts')).createTopic(name, options)
  })

topicCommand
  .command('list')
  .description('List the topics.')
  .addOption(brokersOption())
  .addOption(configOption())
  .addOption(jsonOption('print them as one JSON array'))
  .addHelpText(
    'after',
    "\nExamples:\n  $ streambus topic list\n  $ streambus topic list --json | jq -r '.[].name'",
  )
  .action(async (options: GivenOptions) => {
    await (await import('./topic.ts')).listTopics(options)
  })

topicCommand
  .command('describe')
  .description('Show the partitions, offsets, sizes and settings of a topic.')
  .argument('<name>')
  .addOption(brokersOption())
  .addOption(configOption())
  .addOption(jsonOption('print it as JSON'))
  .addHelpText(
    'after',
    `
Of a StreamBus broker also how its logs age: what retention takes with its next check, in how many files a partition
lies, how much of it is not compacted, and what the next pass waits for. \`streambus status\` has the work done so far.

Examples:
  $ streambus topic describe orders
  $ streambus topic describe orders --json | jq '.storage[].log.compaction.waitsFor'`,
  )
  .action(async (name: string, options: GivenOptions) => {
    await (await import('./topic.ts')).describeTopic(name, options)
  })

topicCommand
  .command('delete')
  .description('Delete a topic and all its messages, for good.')
  .argument('<name>')
  .addOption(brokersOption())
  .addOption(configOption())
  .addOption(jsonOption('print the result as JSON'))
  .addHelpText('after', '\nExamples:\n  $ streambus topic delete orders')
  .action(async (name: string, options: GivenOptions) => {
    await (await import('./topic.ts')).deleteTopic(name, options)
  })

program
  .command('status')
  .description('Show the brokers of a cluster, what they hold and what they offer.')
  .addOption(brokersOption())
  .addOption(configOption())
  .addOption(jsonOption('print it as JSON'))
  .addHelpText(
    'after',
    '\nExamples:\n  $ streambus status\n  $ streambus status --brokers kafka-1:9092,kafka-2:9092 --json',
  )
  .action(async (options: GivenOptions) => {
    await (await import('./status.ts')).status(options)
  })

addGroupCommand(program)
addTransactionCommand(program)
addDeadLetterCommand(program)
addLogCommand(program)
watchOutput()

for (const command of [program, ...program.commands, ...program.commands.flatMap((one) => one.commands)]) {
  command.exitOverride().allowExcessArguments(false)
}

try {
  await program.parseAsync()
} catch (error) {
  if (!(error instanceof CommanderError)) reportFailure(error)
  // Commander has said what is wrong; asking for help or the version is not.
  else process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
}
