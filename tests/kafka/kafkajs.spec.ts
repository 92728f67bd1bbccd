/**
 * The API of kafkajs against Apache Kafka. kafkajs itself is left out: it does not log in again where sessions are as
 * short as they are here, and does not wait for coordinators of groups that are new.
 */
import type { KafkaConfig, SASLOptions } from 'streambus/kafkajs'
import * as client from 'streambus/kafkajs'
import { expect, inject, test } from 'vitest'
import { failureOf, quick, until } from '../kafkajs/clients.ts'

const server = inject('kafka')
const { username, password } = server
let names = 0

/** A token that says who somebody is and that nobody has signed, which Kafka takes where it is told no better. */
function freshToken(): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const nowSeconds = Math.floor(Date.now() / 1000)
  return `${part({ alg: 'none' })}.${part({ sub: 'ann', iat: nowSeconds, exp: nowSeconds + 3600 })}.`
}

const ways: [string, SASLOptions][] = [
  ['PLAIN', { mechanism: 'plain', username: 'bob', password: 'secret' }],
  ['SCRAM-SHA-256', { mechanism: 'scram-sha-256', username, password }],
  ['SCRAM-SHA-512', { mechanism: 'scram-sha-512', username, password }],
  ['OAUTHBEARER', { mechanism: 'oauthbearer', oauthBearerProvider: async () => ({ value: freshToken() }) }],
]

const { Kafka, logLevel } = client
const newName = (what: string) => `kafkajs-${what}-${process.pid}-${++names}`
const connectTo = (brokers: string, config: Partial<KafkaConfig> = {}) =>
  new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING, connectionTimeout: 5_000, ...config })

test('messages of transactions go to a group, with the offsets that were committed in them', async () => {
  const kafka = connectTo(server.plaintext)
  const [topic, groupId] = [newName('topic'), newName('group')]
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic, numPartitions: 2 }] })
  const transactionalId = newName('tx')
  const producer = kafka.producer({ transactionalId, maxInFlightRequests: 1, idempotent: true })
  await producer.connect()
  for (const [value, end] of [
    ['aborted', 'abort'],
    ['committed', 'commit'],
  ] as const) {
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: [{ value, partition: 0 }] })
    const partitions = [{ partition: 1, offset: '0' }]
    await transaction.sendOffsets({ consumerGroupId: groupId, topics: [{ topic, partitions }] })
    await transaction[end]()
  }
  await producer.disconnect()
  const consumer = kafka.consumer({ groupId, ...quick })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  const seen: string[] = []
  await consumer.run({ eachMessage: async ({ message }) => void seen.push(String(message.value)) })
  await until(() => seen.length > 0)
  await consumer.disconnect()
  expect(seen).toEqual(['committed'])
  const [offsets] = await admin.fetchOffsets({ groupId, topics: [topic] })
  const sorted = offsets!.partitions.sort((a, b) => a.partition - b.partition)
  expect(Number(sorted[0]!.offset)).toBeGreaterThan(2)
  expect(sorted[1]!.offset).toBe('0')
  await admin.deleteTopics({ topics: [topic] })
  await admin.disconnect()
})

test.each(ways)('%s lets the client in', async (_name, sasl) => {
  const admin = connectTo(server.sasl, { sasl }).admin()
  await admin.connect()
  expect((await admin.describeCluster()).brokers).toHaveLength(1)
  await admin.disconnect()
})

test('TLS does, with the certificate that is trusted, and a wrong password does not', async () => {
  const admin = connectTo(server.ssl, { ssl: { ca: [server.certificate] } }).admin()
  await admin.connect()
  expect((await admin.describeCluster()).brokers).toHaveLength(1)
  await admin.disconnect()
  const sasl = { mechanism: 'plain', username: 'bob', password: 'guessed' } as const
  const stranger = connectTo(server.sasl, { sasl, retry: { retries: 0 } }).admin()
  const failure = await failureOf(() => stranger.connect())
  expect(failure).toMatchObject({ name: 'KafkaJSSASLAuthenticationError', retriable: false })
  await stranger.disconnect()
})

test('access control rules are created, described and deleted', async () => {
  const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = client
  const admin = connectTo(server.plaintext).admin()
  await admin.connect()
  const resourceName = newName('rules')
  const resource = {
    resourceType: AclResourceTypes.TOPIC,
    resourceName,
    resourcePatternType: ResourcePatternTypes.LITERAL,
  }
  const rule = {
    principal: 'User:carl',
    host: '*',
    operation: AclOperationTypes.READ,
    permissionType: AclPermissionTypes.DENY,
  }
  expect(await admin.createAcls({ acl: [{ ...resource, ...rule }] })).toBe(true)
  const filter = {
    resourceType: AclResourceTypes.TOPIC,
    resourceName,
    resourcePatternType: ResourcePatternTypes.ANY,
    operation: AclOperationTypes.ANY,
    permissionType: AclPermissionTypes.ANY,
  }
  const described = async () => (await admin.describeAcls(filter)).resources
  await until(async () => (await described()).length > 0)
  expect(await described()).toEqual([{ ...resource, acls: [rule] }])
  const { filterResponses } = await admin.deleteAcls({ filters: [filter] })
  expect(filterResponses).toMatchObject([{ errorCode: 0, matchingAcls: [{ ...resource, ...rule }] }])
  await until(async () => (await described()).length === 0)
  await admin.disconnect()
})

test('moves of partitions are begun, and those under way are listed', async () => {
  const admin = connectTo(server.plaintext, { retry: { retries: 0 } }).admin()
  await admin.connect()
  const topic = newName('moves')
  await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] })
  await admin.alterPartitionReassignments({
    topics: [{ topic, partitionAssignment: [{ partition: 0, replicas: [1] }] }],
  })
  expect(await admin.listPartitionReassignments({})).toEqual({ topics: [] })
  const failure = await failureOf(() =>
    admin.alterPartitionReassignments({
      topics: [{ topic, partitionAssignment: [{ partition: 0, replicas: [7] }] }],
    }),
  )
  expect(failure.name).toBe('KafkaJSAggregateError')
  expect(failure.errors).toMatchObject([
    {
      name: 'KafkaJSAlterPartitionReassignmentsError',
      type: 'INVALID_REPLICA_ASSIGNMENT',
      topic,
      partition: 0,
    },
  ])
  await admin.deleteTopics({ topics: [topic] })
  await admin.disconnect()
})
