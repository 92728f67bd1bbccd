import { SomeFailedError } from '@streambus/client'
import { expect, test } from 'vitest'
import { startBus } from './test-bus.ts'

/** What a call that failed for some of several things rejected with. */
async function someFailed(call: Promise<unknown>): Promise<SomeFailedError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof SomeFailedError)) throw error ?? new Error('it did not fail')
  return error
}

test('several topics are created in one call, which tells what they became', async () => {
  await using session = await startBus()
  const { admin } = session.bus
  const created = await admin.createTopics([
    { name: 'a', partitions: 3 },
    { name: 'b', configs: { 'max.message.bytes': '5000' } },
    { name: 'c', replicas: [[1], [1]] },
  ])
  expect(created).toMatchObject([
    { name: 'a', partitions: 3, replicationFactor: 1 },
    { name: 'b', partitions: 1 },
    { name: 'c', partitions: 2 },
  ])
  expect((await admin.describeTopic('a')).id).toBe(created[0]!.id)
})

test('where some of several topics fail, it is told which and why, and what the others became is not lost', async () => {
  await using session = await startBus()
  const { admin } = session.bus
  await admin.createTopic('there')
  const refused = { name: 'no/name' }
  const failure = await someFailed(admin.createTopics([{ name: 'there' }, { name: 'new' }, refused]))
  expect(failure).toMatchObject({ code: 'SOME_FAILED', retriable: false })
  expect(failure.message).toMatch(/^2 of 3 failed, the first for this: Cannot create topic 'there': /)
  expect(failure.failures).toMatchObject([
    { item: { name: 'there' }, error: { code: 'TOPIC_EXISTS' } },
    { item: refused, error: { code: 'INVALID_TOPIC' } },
  ])
  expect(failure.failures[1]!.item).toBe(refused)
  expect(failure.succeeded).toMatchObject([{ name: 'new', partitions: 1 }])
  const deletion = await someFailed(admin.deleteTopics(['new', 'gone', 'there']))
  expect(deletion.failures).toMatchObject([{ item: 'gone', error: { code: 'UNKNOWN_TOPIC' } }])
  expect(deletion.succeeded).toEqual(['new', 'there'])
  await expect.poll(() => admin.listTopics()).toEqual([])
})

test('a call about one topic fails with the error of that topic', async () => {
  await using session = await startBus()
  const { admin } = session.bus
  await admin.createTopic('a')
  await expect(admin.createTopic('a')).rejects.toMatchObject({ code: 'TOPIC_EXISTS' })
  await expect(admin.deleteTopic('b')).rejects.toMatchObject({
    code: 'UNKNOWN_TOPIC',
    message: "There is no topic 'b' on this cluster.",
    retriable: false,
  })
  await expect(admin.createPartitions('b', 2)).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC' })
  await expect(admin.createPartitions('a', 1)).rejects.toMatchObject({ code: 'INVALID_PARTITIONS' })
})

test('topics are deleted by id, and never another of the same name', async () => {
  await using session = await startBus()
  const { admin } = session.bus
  const { id } = await admin.createTopic('a')
  expect(id).not.toBeNull()
  await admin.deleteTopic({ id: id! })
  await admin.createTopic('a')
  await expect(admin.deleteTopic({ id: id! })).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC' })
  const names = async () => (await admin.listTopics()).map(({ name }) => name)
  await expect.poll(names).toEqual(['a'])
  const { id: second } = await admin.createTopic('b')
  expect(await admin.deleteTopics([{ id: second! }, 'a'])).toEqual(['b', 'a'])
  await expect.poll(names).toEqual([])
})

test('changes can be checked without being made', async () => {
  await using session = await startBus()
  const { admin } = session.bus
  const check = { validateOnly: true }
  expect(await admin.createTopic('a', { partitions: 2, ...check })).toMatchObject({ partitions: 2 })
  expect(await admin.listTopics()).toEqual([])
  await admin.createTopic('a')
  await admin.createPartitions('a', 3, check)
  await expect(admin.createPartitions('a', 1, check)).rejects.toMatchObject({ code: 'INVALID_PARTITIONS' })
  await admin.alterConfigs('a', { 'max.message.bytes': '5000' }, check)
  await expect(admin.alterConfigs('a', { 'max.message.bytes': 'many' }, check)).rejects.toMatchObject({
    code: 'INVALID_CONFIG',
  })
  const topic = await admin.describeTopic('a')
  expect(topic.partitions).toHaveLength(1)
  expect(topic.configs.every(({ isDefault }) => isDefault)).toBe(true)
})

test('what cannot be meant is refused before anything is sent', async () => {
  await using session = await startBus()
  const { admin } = session.bus
  const refused = { code: 'INVALID_ARGUMENT' }
  await expect(admin.createTopics([{ name: 'a' }, { name: 'a' }])).rejects.toMatchObject({
    ...refused,
    message: "Topic 'a' is named twice.",
  })
  await expect(admin.createTopic('a', { partitions: 1, replicas: [[1]] })).rejects.toMatchObject(refused)
  await expect(admin.createTopic('a', { timeoutMs: 0 })).rejects.toMatchObject(refused)
  await expect(admin.alterConfigs('a', { x: 1 as never })).rejects.toMatchObject(refused)
  await expect(admin.describeConfigs({ house: 1 } as never)).rejects.toMatchObject(refused)
  await expect(admin.describeConfigs({ broker: 77 })).rejects.toMatchObject({
    ...refused,
    message: 'There is no broker 77: the cluster has 1.',
  })
  await expect(admin.deleteRecords([{ topic: 'a', partition: 0, before: -1 }])).rejects.toMatchObject(refused)
  await expect(admin.createDelegationToken({ owner: 'ann' })).rejects.toMatchObject(refused)
  await expect(admin.renewDelegationToken(new Uint8Array(1), { forMs: 0.5 })).rejects.toMatchObject(refused)
  await expect(admin.listTransactions({ producerIds: [-1] })).rejects.toMatchObject(refused)
  await expect(
    admin.alterUserScramCredentials([{ user: 'ann', mechanism: 'scram-sha-256', password: '' }]),
  ).rejects.toMatchObject(refused)
  await expect(admin.alterClientQuotas([{ entity: {}, quotas: {} }])).rejects.toMatchObject(refused)
  expect(await admin.createTopics([])).toEqual([])
  expect(await admin.listTopics()).toEqual([])
})

test('settings come with source, type, synonyms and documentation', async () => {
  await using session = await startBus()
  const { admin } = session.bus
  await admin.createTopic('t', { configs: { 'max.message.bytes': '5000' } })
  const names = ['max.message.bytes', 'cleanup.policy']
  const described = await admin.describeConfigs('t', { names, synonyms: true, documentation: true })
  const entry = (name: string) => described.find((one) => one.name === name)!
  expect(described).toHaveLength(2)
  expect(entry('max.message.bytes')).toMatchObject({
    value: '5000',
    isDefault: false,
    source: 'dynamic_topic_config',
    type: 'int',
    isReadOnly: false,
    isSensitive: false,
  })
  expect(entry('max.message.bytes').synonyms[0]).toEqual({
    name: 'max.message.bytes',
    value: '5000',
    source: 'dynamic_topic_config',
  })
  expect(entry('max.message.bytes').documentation).not.toBeNull()
  expect(entry('cleanup.policy')).toMatchObject({ isDefault: true, source: 'default_config', type: 'list' })
  const plain = (await admin.describeConfigs({ topic: 't' }, { names: ['max.message.bytes'] }))[0]!
  expect(plain).toMatchObject({ synonyms: [], documentation: null })
  const [broker] = await admin.describeConfigs({ broker: 1 }, { names: ['num.partitions'] })
  expect(broker).toMatchObject({ name: 'num.partitions', value: '1' })
  for (const { isDefault } of await admin.describeConfigs({ broker: 'default' }))
    expect(isDefault).toBe(false)
})

test('lists are extended and shortened', async () => {
  await using session = await startBus()
  const { admin } = session.bus
  await admin.createTopic('t')
  const policy = async () => (await admin.describeConfigs('t', { names: ['cleanup.policy'] }))[0]!.value
  await admin.alterConfigs('t', { 'cleanup.policy': { append: ['compact'] } })
  await expect.poll(policy).toBe('delete,compact')
  await admin.alterConfigs('t', { 'cleanup.policy': { subtract: 'delete' } })
  await expect.poll(policy).toBe('compact')
})
