/** Kafka's command-line tools against one broker. */
import { runTool, type ToolOptions, toolCommand } from '../peers/kafka.ts'
import { RunningProgram } from './running-program.ts'

const TOOL_TIMEOUT_MS = 40_000

const mainClasses = {
  'kafka-topics': 'org.apache.kafka.tools.TopicCommand',
  'kafka-configs': 'kafka.admin.ConfigCommand',
  'kafka-get-offsets': 'org.apache.kafka.tools.GetOffsetShell',
  'kafka-delete-records': 'org.apache.kafka.tools.DeleteRecordsCommand',
  'kafka-console-producer': 'org.apache.kafka.tools.ConsoleProducer',
  'kafka-console-consumer': 'org.apache.kafka.tools.consumer.ConsoleConsumer',
  'kafka-producer-perf-test': 'org.apache.kafka.tools.ProducerPerformance',
  'kafka-consumer-perf-test': 'org.apache.kafka.tools.ConsumerPerformance',
  'kafka-verifiable-producer': 'org.apache.kafka.tools.VerifiableProducer',
  'kafka-verifiable-consumer': 'org.apache.kafka.tools.VerifiableConsumer',
  'kafka-cluster': 'org.apache.kafka.tools.ClusterTool',
  'kafka-log-dirs': 'org.apache.kafka.tools.LogDirsCommand',
  'kafka-broker-api-versions': 'org.apache.kafka.tools.BrokerApiVersionsCommand',
  'kafka-consumer-groups': 'org.apache.kafka.tools.consumer.group.ConsumerGroupCommand',
  'kafka-transactions': 'org.apache.kafka.tools.TransactionsCommand',
  TransactionalMessageCopier: 'org.apache.kafka.tools.TransactionalMessageCopier',
} as const

export type ToolName = keyof typeof mainClasses

export class KafkaTools {
  readonly #bootstrap: string

  constructor(bootstrap: string) {
    this.#bootstrap = bootstrap
  }

  run(name: ToolName, args: readonly string[], options: ToolOptions = {}) {
    return runTool(mainClasses[name], this.#withBroker(name, args), {
      timeoutMs: TOOL_TIMEOUT_MS,
      ...options,
    })
  }

  /** Starts a tool that goes on until it is stopped. */
  async start(name: ToolName, args: readonly string[]): Promise<RunningProgram> {
    const { command, args: all } = await toolCommand(mainClasses[name], this.#withBroker(name, args))
    return new RunningProgram(name, command, all)
  }

  #withBroker(name: ToolName, args: readonly string[]): string[] {
    switch (name) {
      case 'kafka-cluster':
        return [...args, '--bootstrap-server', this.#bootstrap]
      case 'kafka-producer-perf-test':
        return ['--command-property', `bootstrap.servers=${this.#bootstrap}`, ...args]
      case 'TransactionalMessageCopier':
        return ['--broker-list', this.#bootstrap, ...args]
      default:
        return ['--bootstrap-server', this.#bootstrap, ...args]
    }
  }
}

export function contains(text: string, part: string): void {
  if (!text.includes(part)) throw new Error(`no "${part}" in: ${text}`)
}

export function matches(text: string, pattern: RegExp): RegExpExecArray {
  const found = pattern.exec(text)
  if (found === null) throw new Error(`no ${pattern} in: ${text}`)
  return found
}
