/**
 * The versions of the foreign software that the interop ledger, the benchmarks and the API reference run. Pinned, so that two
 * runs of one commit compare the same things; raised by hand.
 */
export const versions = {
  kafka: '4.4.0',
  /** The newest version whose command-line tools are published as jars. */
  kafkaTools: '4.3.1',
  /** The newest version of Kafka Streams on Maven Central. */
  kafkaStreams: '4.3.1',
  log4j: '2.25.5',
  kafkajs: '2.2.4',
  platformaticKafka: '2.12.1',
  /** @platformatic/kafka asks for a newer Node than the floor of this repository. */
  node: '24.21.0',
  kafkaPython: '3.0.12',
  typedoc: '0.28.20',
  typedocMarkdown: '4.14.1',
  /** The newest compiler that typedoc reads types with. */
  typedocTypescript: '6.0.3',
} as const
