import type { RequestInterceptor } from '@streambus/broker'
import {
  type ApiVersionsResponseInput,
  type ConsumerGroupDescribeResponseInput,
  type CreateTopicsRequest,
  type CreateTopicsResponseInput,
  type DescribeConfigsRequest,
  ErrorCode,
} from '@streambus/protocol'
import { beforeEach, expect, test } from 'vitest'
import { failureOf, needsStreamBus, startBus } from './test-bus.ts'

beforeEach((context) => needsStreamBus(context, 'its broker refuses, and holds requests up, on demand'))

/** Answers for this topic that the broker is not the controller, and notes which topics each request asks for. */
function refusing(topic: string, times: number, asked: string[][] = []): RequestInterceptor {
  let left = times
  return async ({ api, body }, handle) => {
    if (api.name !== 'CreateTopics') return await handle(body)
    const request = body as CreateTopicsRequest
    asked.push(request.topics.map(({ name }) => name))
    if (left === 0) return await handle(body)
    left--
    const others = request.topics.filter(({ name }) => name !== topic)
    const answer = (await handle({ ...request, topics: others })) as CreateTopicsResponseInput
    const refusal = { name: topic, errorCode: ErrorCode.NOT_CONTROLLER }
    return { ...answer, topics: [refusal, ...answer.topics] }
  }
}

/** Has the broker say that it serves APIs only up to these versions, or not at all. */
function limited(maxVersions: Readonly<Record<number, number | null>>): RequestInterceptor {
  return async ({ api, body }, handle) => {
    const answer = await handle(body)
    if (api.name !== 'ApiVersions') return answer
    const versions = answer as ApiVersionsResponseInput
    const apiKeys = versions.apiKeys.flatMap((one) => {
      const limit = maxVersions[one.apiKey]
      return limit === null ? [] : [{ ...one, maxVersion: Math.min(one.maxVersion, limit ?? one.maxVersion) }]
    })
    return { ...versions, apiKeys }
  }
}

test('only what failed for a moment is asked for again', async () => {
  const asked: string[][] = []
  await using session = await startBus({ interceptor: refusing('b', 2, asked) }, { retryBackoffMs: 1 })
  const created = await session.bus.admin.createTopics([{ name: 'a' }, { name: 'b' }, { name: 'c' }])
  expect(created.map(({ name }) => name)).toEqual(['a', 'b', 'c'])
  expect(asked).toEqual([['a', 'b', 'c'], ['b'], ['b']])
})

test('what keeps failing until the time is over does not take the results of the others with it', async () => {
  await using session = await startBus({ interceptor: refusing('b', Number.POSITIVE_INFINITY) })
  const { admin } = session.bus
  const topics = [{ name: 'a' }, { name: 'b' }]
  await expect(admin.createTopics(topics, { timeoutMs: 200 })).rejects.toMatchObject({
    code: 'SOME_FAILED',
    retriable: true,
    failures: [{ item: topics[1], error: { brokerError: 'NOT_CONTROLLER' } }],
    succeeded: [{ name: 'a' }],
  })
})

test('a call ends with its signal or its time, whatever the broker does', async () => {
  const interceptor: RequestInterceptor = ({ api, body }, handle) =>
    ['CreateTopics', 'ListGroups', 'DeleteRecords', 'DescribeLogDirs'].includes(api.name)
      ? new Promise(() => {})
      : handle(body)
  // The broker does not wait for its own answers when it is closed.
  await using session = await startBus({ interceptor, shutdownTimeoutMs: 0 })
  const { admin } = session.bus
  await session.bus.producer().send('t', 'x')
  const abort = new AbortController()
  const { signal } = abort
  const calls = [
    failureOf(admin.createTopic('a', { signal })),
    failureOf(admin.createTopics([{ name: 'a' }, { name: 'b' }], { signal })),
    failureOf(admin.listGroups({ signal })),
    failureOf(admin.deleteRecords([{ topic: 't', partition: 0, before: 'latest' }], { signal })),
    failureOf(admin.describeTopic('t', { signal })),
  ]
  const late = failureOf(admin.listGroups({ timeoutMs: 50 }))
  expect(await late).toMatchObject({ code: 'REQUEST_TIMEOUT', message: 'No answer within 50 ms.' })
  abort.abort()
  for (const failure of await Promise.all(calls)) expect(failure).toMatchObject({ code: 'ABORTED' })
  expect(await failureOf(admin.describeCluster({ signal }))).toMatchObject({ code: 'ABORTED' })
  expect((await admin.describeCluster()).brokers).toHaveLength(1)
})

test('calls that wait end when the client is closed', async () => {
  const interceptor: RequestInterceptor = ({ api, body }, handle) =>
    api.name === 'CreateTopics' ? new Promise(() => {}) : handle(body)
  await using session = await startBus({ interceptor })
  const { bus } = session
  const one = failureOf(bus.admin.createTopic('a'))
  const several = failureOf(bus.admin.createTopics([{ name: 'b' }]))
  await bus.admin.listTopics()
  await bus.close()
  expect([(await one).code, (await several).code]).toEqual(['CLOSED', 'CLOSED'])
  expect(await failureOf(bus.admin.listTopics())).toMatchObject({ code: 'CLOSED' })
})

test('what the broker does not offer is told with the name of the API', async () => {
  await using session = await startBus()
  const { admin } = session.bus
  const place = { topic: 't', partition: 0 }
  const acl = {
    resourceType: 'topic',
    resourceName: 't',
    principal: 'User:ann',
    operation: 'read',
    permission: 'allow',
  } as const
  const calls: [string, () => Promise<unknown>][] = [
    ['DescribeAcls', () => admin.describeAcls()],
    ['CreateAcls', () => admin.createAcls([acl])],
    ['DeleteAcls', () => admin.deleteAcls([acl])],
    ['AlterReplicaLogDirs', () => admin.alterReplicaLogDirs([{ ...place, broker: 1, logDir: '/d' }])],
    ['CreateDelegationToken', () => admin.createDelegationToken()],
    ['RenewDelegationToken', () => admin.renewDelegationToken(new Uint8Array(1))],
    ['ExpireDelegationToken', () => admin.expireDelegationToken(new Uint8Array(1))],
    ['DescribeDelegationToken', () => admin.describeDelegationTokens()],
    ['ElectLeaders', () => admin.electLeaders()],
    ['AlterPartitionReassignments', () => admin.alterPartitionReassignments([{ ...place, replicas: [1] }])],
    ['ListPartitionReassignments', () => admin.listPartitionReassignments()],
    ['DescribeClientQuotas', () => admin.describeClientQuotas()],
    ['AlterClientQuotas', () => admin.alterClientQuotas([{ entity: { user: 'ann' }, quotas: {} }])],
    ['DescribeUserScramCredentials', () => admin.describeUserScramCredentials()],
    [
      'AlterUserScramCredentials',
      () => admin.alterUserScramCredentials([{ user: 'ann', mechanism: 'scram-sha-256', password: null }]),
    ],
    ['DescribeQuorum', () => admin.describeQuorum()],
    ['UpdateFeatures', () => admin.updateFeatures({ 'transaction.version': 2 })],
    ['UnregisterBroker', () => admin.unregisterBroker(7)],
    ['ListConfigResources', () => admin.listConfigResources('clientMetrics')],
  ]
  for (const [api, call] of calls) {
    const failure = await failureOf(call())
    expect(failure).toMatchObject({ code: 'UNSUPPORTED_API' })
    expect(failure.message).toContain(`cannot serve ${api}: it does not offer it`)
  }
})

test('to a broker of an older version nothing is asked that it would not understand', async () => {
  const [listOffsets, listGroups, deleteTopics, describeConfigs, listTransactions] = [2, 16, 20, 32, 66]
  const interceptor = limited({
    [listOffsets]: 6,
    [listGroups]: 3,
    [deleteTopics]: 3,
    [describeConfigs]: 0,
    [listTransactions]: 0,
  })
  await using session = await startBus({ interceptor })
  const { admin } = session.bus
  await admin.createTopics([{ name: 'a' }, { name: 'b', configs: { 'max.message.bytes': '5000' } }])
  const tooOld = async (call: Promise<unknown>) => {
    const failure = await failureOf(call)
    expect(failure).toMatchObject({ code: 'UNSUPPORTED_API' })
    return failure.message.replace(session.broker.address, 'it')
  }
  expect(await tooOld(admin.listOffsets([{ topic: 'a', partition: 0, at: 'max_timestamp' }]))).toBe(
    'it cannot find the offset at max_timestamp: it serves ListOffsets 6, which takes version 7.',
  )
  await tooOld(admin.listGroups({ types: ['classic'] }))
  await tooOld(admin.deleteTopic({ id: (await admin.describeTopic('a')).id }))
  await tooOld(admin.listTransactions({ minDurationMs: 1 }))
  const names = ['max.message.bytes', 'cleanup.policy']
  const configs = await admin.describeConfigs('b', { names, synonyms: true, documentation: true })
  expect(configs.map(({ isDefault, source }) => [isDefault, source])).toEqual([
    [false, 'unknown'],
    [true, 'unknown'],
  ])
  expect(await admin.listOffsets([{ topic: 'a', partition: 0, at: 'latest' }])).toMatchObject([{ offset: 0 }])
  expect(await admin.deleteTopics(['a', 'b'])).toEqual(['a', 'b'])
})

test('a topic that the broker does not know yet is asked about again, one that it never knows for a moment only', async () => {
  let refused = 0
  const interceptor: RequestInterceptor = async ({ api, body }, handle) => {
    if (api.name !== 'DescribeConfigs' || refused === 2) return await handle(body)
    refused++
    const { resources } = body as DescribeConfigsRequest
    const results = resources.map(({ resourceType, resourceName }) => {
      const errorCode = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
      return { errorCode, errorMessage: null, resourceType, resourceName, configs: [] }
    })
    return { throttleTimeMs: 0, results }
  }
  await using session = await startBus({ interceptor }, { retryBackoffMs: 1 })
  const { admin } = session.bus
  await admin.createTopic('new')
  expect(await admin.describeConfigs('new')).not.toEqual([])
  expect(refused).toBe(2)
  expect(await failureOf(admin.describeConfigs('missing'))).toMatchObject({
    code: 'UNKNOWN_TOPIC',
    message: "There is no topic 'missing' on this cluster.",
  })
})

test('groups are described by a broker that offers to describe consumer groups and knows none', async () => {
  const interceptor: RequestInterceptor = async ({ api, body }, handle) => {
    if (api.name !== 'ConsumerGroupDescribe') return await handle(body)
    const answer = (await handle(body)) as ConsumerGroupDescribeResponseInput
    const groups = answer.groups.map((group) => ({ ...group, errorCode: ErrorCode.UNSUPPORTED_VERSION }))
    return { ...answer, groups }
  }
  await using session = await startBus({ interceptor })
  const { admin } = session.bus
  await admin.createTopic('t')
  await admin.commitOffsets('g', [{ topic: 't', partition: 0, offset: 0 }])
  expect(await admin.describeGroup('g')).toMatchObject({ type: 'classic', state: 'Empty' })
  expect(await admin.authorizedOperations({ group: 'g' })).toContain('read')
})
