import { type ConnectOptions, connect, type PasswordCredentials, type StreamBus } from '@streambus/client'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { collect, failureOf } from '../client/test-bus.ts'

const kafka = inject('kafka')
let bus: StreamBus
/** Every test its own names: rules and users outlive it. */
const mark = `security-admin-${process.pid}`

beforeAll(async () => {
  bus = await connect(kafka.plaintext)
})

afterAll(async () => {
  await bus.close()
})

function as(username: string, password: string): ConnectOptions {
  return { brokers: kafka.sasl, sasl: { mechanism: 'scram-sha-256', username, password } }
}

test('rules are created, described, kept to and deleted', async () => {
  const { admin } = bus
  const topic = `${mark}-topic`
  await admin.createTopic(topic, { partitions: 1 })
  await bus.producer().send(topic, 'x')
  const mayDescribe = {
    resourceType: 'topic',
    resourceName: mark,
    patternType: 'prefixed',
    principal: `User:${kafka.username}`,
    operation: 'describe',
    permission: 'allow',
  } as const
  const mayRead = { ...mayDescribe, operation: 'read', host: '127.0.0.1' } as const
  await using ann = await connect(as(kafka.username, kafka.password))
  const readAsAnn = () => collect(ann.consumer(topic, { until: 'end' }))
  await admin.createAcls([mayDescribe])
  await expect.poll(() => admin.describeAcls({ resourceName: mark })).toEqual([{ ...mayDescribe, host: '*' }])
  expect(await failureOf(readAsAnn())).toMatchObject({ code: 'NOT_AUTHORIZED' })
  expect(await ann.admin.authorizedOperations({ topic })).toEqual(['describe'])
  await admin.createAcls([mayDescribe, mayRead])
  await expect
    .poll(async () => (await ann.admin.authorizedOperations({ topic }))?.toSorted())
    .toEqual(['describe', 'read'])
  expect((await readAsAnn()).map((message) => message.text())).toEqual(['x'])

  const rules = await admin.describeAcls({ resourceType: 'topic', resourceName: topic, patternType: 'match' })
  expect(rules).toHaveLength(2)
  expect(await admin.describeAcls({ resourceName: topic, patternType: 'literal' })).toEqual([])
  expect(await admin.deleteAcls([{ resourceName: mark, operation: 'read' }])).toEqual([mayRead])
  expect(await admin.deleteAcls([{ resourceName: mark }, { resourceName: 'nothing of it' }])).toEqual([
    { ...mayDescribe, host: '*' },
  ])
  await expect.poll(() => admin.describeAcls({ resourceName: mark })).toEqual([])
})

test('of several rules those that cannot be are told, and the others hold', async () => {
  const good = {
    resourceType: 'group',
    resourceName: `${mark}-group`,
    patternType: 'literal',
    principal: 'User:ann',
    host: '*',
    operation: 'read',
    permission: 'deny',
  } as const
  const wrong = { ...good, resourceType: 'cluster', resourceName: 'another cluster' } as const
  await expect(bus.admin.createAcls([good, wrong])).rejects.toMatchObject({
    code: 'SOME_FAILED',
    failures: [{ item: wrong, error: { brokerError: 'INVALID_REQUEST' } }],
    succeeded: [good],
  })
  await expect.poll(() => bus.admin.deleteAcls([{ resourceName: good.resourceName }])).toEqual([good])
  expect(await failureOf(bus.admin.createAcls([{ ...good, operation: 'sing' as never }]))).toMatchObject({
    code: 'INVALID_ARGUMENT',
  })
})

test('who may not administer is told so', async () => {
  const { admin } = bus
  const [username, password] = [`${mark}-outsider`, 'secret']
  await admin.alterUserScramCredentials([{ user: username, mechanism: 'scram-sha-256', password }])
  const cluster = { resourceType: 'cluster', resourceName: 'kafka-cluster' } as const
  // The first rule of a resource shuts out everybody whom it does not name: other tests go on as before.
  const rules = [
    { ...cluster, principal: 'User:*', operation: 'all', permission: 'allow' },
    { ...cluster, principal: `User:${username}`, operation: 'describe', permission: 'deny' },
  ] as const
  await admin.createAcls(rules)
  await expect.poll(() => admin.describeUserScramCredentials({ users: [username] })).toHaveLength(1)
  await using outsider = await connect(as(username, password))
  await expect.poll(() => failureOf(outsider.admin.describeAcls())).toMatchObject({ code: 'NOT_AUTHORIZED' })
  const failure = await failureOf(outsider.admin.describeUserScramCredentials())
  expect(failure).toMatchObject({ code: 'NOT_AUTHORIZED' })
  expect(await admin.deleteAcls(rules)).toHaveLength(2)
})

test('users are made, log in with the password they were given, and are taken away', async () => {
  const { admin } = bus
  const user = `${mark}-user`
  await admin.alterUserScramCredentials([
    { user, mechanism: 'scram-sha-256', password: 'correct horse ü', iterations: 8_192 },
    { user, mechanism: 'scram-sha-512', password: 'another' },
  ])
  await expect
    .poll(() => admin.describeUserScramCredentials({ users: [user, 'nobody at all'] }))
    .toEqual([
      {
        user,
        credentials: [
          { mechanism: 'scram-sha-256', iterations: 8_192 },
          { mechanism: 'scram-sha-512', iterations: 4_096 },
        ],
      },
    ])
  const users = (await admin.describeUserScramCredentials()).map((one) => one.user)
  expect(users).toEqual(expect.arrayContaining([kafka.username, user]))
  await using session = await connect(as(user, 'correct horse ü'))
  expect((await session.admin.describeCluster()).brokers).toHaveLength(1)
  expect(await failureOf(connect(as(user, 'another')))).toMatchObject({ code: 'AUTHENTICATION_FAILED' })

  await admin.alterUserScramCredentials([{ user, mechanism: 'scram-sha-256', password: null }])
  await expect
    .poll(async () => (await admin.describeUserScramCredentials({ users: [user] }))[0]?.credentials)
    .toEqual([{ mechanism: 'scram-sha-512', iterations: 4_096 }])
  await expect(
    admin.alterUserScramCredentials([
      { user, mechanism: 'scram-sha-512', password: null },
      { user: `${user}-2`, mechanism: 'scram-sha-256', password: null },
      { user: `${user}-3`, mechanism: 'scram-sha-256', password: 'weak', iterations: 2 },
    ]),
  ).rejects.toMatchObject({
    failures: [
      { item: { user: `${user}-2` }, error: { brokerError: 'RESOURCE_NOT_FOUND' } },
      { item: { user: `${user}-3` }, error: { brokerError: 'UNACCEPTABLE_CREDENTIAL' } },
    ],
    succeeded: [{ user }],
  })
})

test('quotas are set, described, checked and taken away', async () => {
  const { admin } = bus
  const [user, clientId] = [`${mark}-user`, `${mark}-client`]
  await admin.alterClientQuotas([
    {
      entity: { user, clientId },
      quotas: { producer_byte_rate: 1_000_000, consumer_byte_rate: 2_000_000 },
    },
    { entity: { user }, quotas: { request_percentage: 50 } },
    { entity: { clientId: null }, quotas: { producer_byte_rate: 1e9 } },
  ])
  const byUser = () => admin.describeClientQuotas({ user })
  await expect.poll(async () => (await byUser()).length).toBe(2)
  expect(await byUser()).toEqual(
    expect.arrayContaining([
      {
        entity: { user, clientId },
        quotas: { producer_byte_rate: 1_000_000, consumer_byte_rate: 2_000_000 },
      },
      { entity: { user }, quotas: { request_percentage: 50 } },
    ]),
  )
  expect(await admin.describeClientQuotas({ user }, { strict: true })).toEqual([
    { entity: { user }, quotas: { request_percentage: 50 } },
  ])
  expect(await admin.describeClientQuotas({ user: true, clientId })).toHaveLength(1)
  expect(await admin.describeClientQuotas({ clientId: null })).toEqual([
    { entity: { clientId: null }, quotas: { producer_byte_rate: 1e9 } },
  ])
  await admin.alterClientQuotas([{ entity: { user }, quotas: { request_percentage: 1 } }], {
    validateOnly: true,
  })
  const unknown = { entity: { ip: '127.0.0.1' }, quotas: { beauty: 1 } }
  const removal = { entity: { user }, quotas: { request_percentage: null } }
  await expect(admin.alterClientQuotas([unknown, removal])).rejects.toMatchObject({
    failures: [{ item: unknown, error: { brokerError: 'INVALID_REQUEST' } }],
    succeeded: [removal],
  })
  await admin.alterClientQuotas([
    { entity: { user, clientId }, quotas: { producer_byte_rate: null, consumer_byte_rate: null } },
    { entity: { clientId: null }, quotas: { producer_byte_rate: null } },
  ])
  await expect.poll(async () => await byUser()).toEqual([])
})

test('tokens are made for a user, renewed, described and ended', async () => {
  await using ann = await connect(as(kafka.username, kafka.password))
  const { admin } = ann
  const owner = `User:${kafka.username}`
  const token = await admin.createDelegationToken({ renewers: ['User:bob'], maxLifetimeMs: 3_600_000 })
  expect(token).toMatchObject({ owner, requester: owner, renewers: ['User:bob'] })
  expect(token.endsAtMs - token.issuedAtMs).toBe(3_600_000)
  const described = async (owners?: string[]) =>
    (await admin.describeDelegationTokens(owners && { owners })).find(
      ({ tokenId }) => tokenId === token.tokenId,
    )
  await expect.poll(() => described([owner])).toMatchObject({ hmac: token.hmac, renewers: ['User:bob'] })
  expect(await described(['User:somebody'])).toBeUndefined()
  expect(await admin.renewDelegationToken(token.hmac, { forMs: 60_000 })).toBeLessThanOrEqual(token.endsAtMs)
  const password = Buffer.from(token.hmac).toString('base64')
  const sasl = { ...as(token.tokenId, password).sasl, delegationToken: true } as PasswordCredentials
  await using bearer = await connect({ brokers: kafka.sasl, sasl })
  expect((await bearer.admin.describeCluster()).brokers).toHaveLength(1)
  expect(await failureOf(bearer.admin.createDelegationToken())).toMatchObject({
    brokerError: 'DELEGATION_TOKEN_REQUEST_NOT_ALLOWED',
  })
  await admin.expireDelegationToken(token.hmac)
  await expect.poll(() => described()).toBeUndefined()
  expect(await failureOf(connect({ brokers: kafka.sasl, sasl }))).toMatchObject({
    code: 'AUTHENTICATION_FAILED',
  })
  expect(await failureOf(admin.renewDelegationToken(token.hmac))).toMatchObject({
    brokerError: 'DELEGATION_TOKEN_NOT_FOUND',
  })
  expect(await failureOf(admin.createDelegationToken({ owner: 'ann' }))).toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: "'ann' is no principal; write User:name.",
  })
  expect(await failureOf(bus.admin.createDelegationToken())).toMatchObject({
    brokerError: 'DELEGATION_TOKEN_REQUEST_NOT_ALLOWED',
  })
})
