/** Starts one Apache Kafka for all tests of a run, with a listener for each way of getting in. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import type { TestProject } from 'vitest/node'
import { startKafka } from '../../peers/kafka.ts'
import { freePorts } from '../../peers/server-process.ts'
import { certificate } from '../client/certificate.ts'

export interface KafkaUnderTest {
  readonly clusterId: string
  readonly plaintext: string
  readonly ssl: string
  /** Sessions last as long as `SESSION_MS` here. */
  readonly sasl: string
  readonly saslSsl: string
  readonly certificate: string
  readonly username: string
  readonly password: string
}

declare module 'vitest' {
  export interface ProvidedContext {
    kafka: KafkaUnderTest
  }
}

/** Short, so that a test sees several of them. */
const SESSION_MS = 1_500
const USERNAME = 'ann'
const PASSWORD = 'pencil-ü'
const modules = 'org.apache.kafka.common.security'

export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = await mkdtemp(`${tmpdir()}/streambus-kafka-`)
  const [plaintext, controller, ssl, sasl, saslSsl] = (await freePorts(5)) as [
    number,
    number,
    number,
    number,
    number,
  ]
  const { cert, private: key } = await certificate('localhost')
  const clients = { PLAINTEXT: plaintext, SSL: ssl, SASL_PLAINTEXT: sasl, SASL_SSL: saslSsl }
  const addresses = Object.entries(clients).map(([name, port]) => `${name}://localhost:${port}`)
  const inline = (pem: string): string => pem.trim().replace(/\r?\n/g, '\\n')
  const jaas: Record<string, string> = {
    plain: `${modules}.plain.PlainLoginModule required user_bob="secret";`,
    'scram-sha-256': `${modules}.scram.ScramLoginModule required;`,
    'scram-sha-512': `${modules}.scram.ScramLoginModule required;`,
    oauthbearer: `${modules}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
  }
  const perListener = ['sasl_plaintext', 'sasl_ssl'].flatMap((listener) => [
    [`listener.name.${listener}.sasl.enabled.mechanisms`, Object.keys(jaas).join(',').toUpperCase()],
    ...Object.entries(jaas).map(([mechanism, module]) => [
      `listener.name.${listener}.${mechanism}.sasl.jaas.config`,
      module,
    ]),
  ])
  const user = (mechanism: string): string[] => [
    '--add-scram',
    `${mechanism}=[name=${USERNAME},password=${PASSWORD}]`,
  ]
  const kafka = await startKafka({
    dataDir,
    port: plaintext,
    maxHeapMiB: 512,
    formatArgs: [...user('SCRAM-SHA-256'), ...user('SCRAM-SHA-512')],
    properties: {
      'controller.quorum.voters': `1@localhost:${controller}`,
      listeners: [...addresses, `CONTROLLER://localhost:${controller}`].join(','),
      'advertised.listeners': addresses.join(','),
      'listener.security.protocol.map': [...Object.keys(clients), 'CONTROLLER:PLAINTEXT']
        .map((name) => (name.includes(':') ? name : `${name}:${name}`))
        .join(','),
      'group.initial.rebalance.delay.ms': '0',
      // Rules are kept to, those of who comes in without credentials excepted, who may administer.
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      'super.users': 'User:ANONYMOUS',
      'allow.everyone.if.no.acl.found': 'true',
      'delegation.token.secret.key': 'a secret of the brokers',
      'log.dirs': ['data', 'more-data'].map((folder) => `${dataDir}/${folder}`).join(','),
      // Tests write messages of 1970, which are not to be deleted while they run.
      'log.initial.task.delay.ms': '86400000',
      // What tests start StreamBus with.
      'group.min.session.timeout.ms': '100',
      'transaction.abort.timed.out.transaction.cleanup.interval.ms': '20',
      'listener.name.sasl_plaintext.connections.max.reauth.ms': String(SESSION_MS),
      'ssl.keystore.type': 'PEM',
      'ssl.keystore.certificate.chain': inline(cert),
      'ssl.keystore.key': inline(key),
      ...Object.fromEntries(perListener),
    },
  })
  project.provide('kafka', {
    clusterId: kafka.clusterId,
    plaintext: `localhost:${plaintext}`,
    ssl: `localhost:${ssl}`,
    sasl: `localhost:${sasl}`,
    saslSsl: `localhost:${saslSsl}`,
    certificate: cert,
    username: USERNAME,
    password: PASSWORD,
  })
  return async () => {
    await kafka.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
}
