/** The consumer protocol (KIP-848) and the classic assignors against the coordinator of Apache Kafka. */
import { type AssignorName, connect } from '@streambus/client'
import { eventually } from 'streambus/testing'
import { expect, inject, test } from 'vitest'
import { GroupWatch, runMember, withClients } from '../client/group-members.ts'
import { committed, fill } from '../client/handling-setup.ts'
import { collect, failureOf } from '../client/test-bus.ts'

const { plaintext } = inject('kafka')
const patience = { timeoutMs: 30_000 }
let names = 0
const newName = () => `consumer-protocol-${++names}-${process.pid}`
const sharesOf = (watch: GroupWatch) => Object.values(watch.shares).sort().join()
const total = (offsets: Record<string, number>) => Object.values(offsets).reduce((sum, one) => sum + one, 0)

test.each<[string, object]>([
  ['consumer, uniform', { groupProtocol: 'consumer' }],
  ['consumer, range', { groupProtocol: 'consumer', remoteAssignor: 'range' }],
  ...(['range', 'roundrobin', 'sticky', 'cooperative-sticky'] satisfies AssignorName[]).map(
    (name): [string, object] => [`classic, ${name}`, { assignors: [name] }],
  ),
])('members come and go, and each message is processed once (%s)', async (_, protocol) => {
  const [topic, group] = [newName(), newName()]
  const watch = new GroupWatch()
  await withClients(plaintext, 3, async ([bus, one, two]) => {
    await bus!.admin.createTopic(topic, { partitions: 4 })
    const options = { group, ...protocol }
    const a = runMember(one!, topic, 'a', watch, options)
    await watch.until(() => watch.shares.a === 4)
    await fill(bus!, topic, 4, 100)
    await watch.until(() => watch.processed.length === 400)
    const b = runMember(two!, topic, 'b', watch, options)
    await watch.until(() => sharesOf(watch) === '2,2')
    await fill(bus!, topic, 4, 100)
    await watch.until(() => watch.processed.length === 800)
    await a.consumer.close()
    await watch.until(() => watch.shares.b === 4)
    await fill(bus!, topic, 4, 100)
    await watch.until(() => watch.processed.length === 1_200)
    await b.consumer.close()
    await Promise.all([a.done, b.done])
    expect(total(await committed(bus!, group))).toBe(1_200)
  })
  expect(watch.violations).toEqual([])
  expect(new Set(watch.processed).size).toBe(1_200)
})

test('a group goes over to the consumer protocol and back while it is read', async () => {
  const [topic, group] = [newName(), newName()]
  const watch = new GroupWatch()
  await withClients(plaintext, 3, async ([bus, one, two]) => {
    await bus!.admin.createTopic(topic, { partitions: 4 })
    const classic = { group, assignors: ['cooperative-sticky'] } as const
    const a = runMember(one!, topic, 'a', watch, classic)
    await watch.until(() => watch.shares.a === 4)
    const b = runMember(two!, topic, 'b', watch, { group, groupProtocol: 'consumer' })
    await watch.until(() => sharesOf(watch) === '2,2')
    await fill(bus!, topic, 4, 100)
    await watch.until(() => watch.processed.length === 400)
    await b.consumer.close()
    await watch.until(() => watch.shares.a === 4)
    await fill(bus!, topic, 4, 100)
    await watch.until(() => watch.processed.length === 800)
    await a.consumer.close()
    expect(total(await committed(bus!, group))).toBe(800)
  })
  expect(watch.violations).toEqual([])
})

test('a static member comes back to what it had; another of its name is refused', async () => {
  const [topic, group] = [newName(), newName()]
  await withClients(plaintext, 2, async ([bus, other]) => {
    await bus!.admin.createTopic(topic, { partitions: 2 })
    const options = { group, groupProtocol: 'consumer' } as const
    const second = other!.consumer(topic, { ...options, instanceId: 'two' })
    const reading = collect(second)
    await eventually(() => second.assignment.length === 2, patience)
    const one = bus!.consumer(topic, { ...options, instanceId: 'one' })
    const first = collect(one)
    await eventually(() => one.assignment.length === 1, patience)
    const had = one.assignment
    await one.close()
    await first
    const again = bus!.consumer(topic, { ...options, instanceId: 'one' })
    const rest = collect(again)
    await eventually(() => again.assignment.length === 1, patience)
    expect(again.assignment).toEqual(had)
    expect(second.assignment).toHaveLength(1)
    await using impatient = await connect({ brokers: plaintext, retryTimeoutMs: 300 })
    const usurper = impatient.consumer(topic, { ...options, instanceId: 'two' })
    expect(await failureOf(collect(usurper))).toMatchObject({ code: 'INSTANCE_ID_IN_USE' })
    await Promise.all([again.close(), second.close()])
    await Promise.all([rest, reading])
  })
})

test('an assignor that the broker does not have is refused', async () => {
  await withClients(plaintext, 1, async ([bus]) => {
    const topic = newName()
    await bus!.admin.createTopic(topic, { partitions: 1 })
    const options = { group: newName(), groupProtocol: 'consumer', remoteAssignor: 'best' } as const
    expect(await failureOf(collect(bus!.consumer(topic, options)))).toMatchObject({
      code: 'UNSUPPORTED_ASSIGNOR',
    })
  })
})

test('process() is exactly once with the consumer protocol', async () => {
  const [topic, to, group] = [newName(), newName(), newName()]
  await withClients(plaintext, 3, async ([bus, one, two]) => {
    await bus!.admin.createTopic(topic, { partitions: 2 })
    await bus!.admin.createTopic(to, { partitions: 1 })
    const work = { from: topic, to, group, groupProtocol: 'consumer' } as const
    const copy = (message: { partition: number; offset: number }) => ({
      value: `${message.partition}/${message.offset}`,
    })
    const first = one!.process(work, copy)
    await eventually(() => first.assignment.length === 2, patience)
    await fill(bus!, topic, 2, 200)
    const second = two!.process(work, copy)
    await eventually(() => second.assignment.length === 1, patience)
    await fill(bus!, topic, 2, 200)
    await eventually(async () => total(await committed(bus!, group)) === 800, patience)
    await Promise.all([first.close(), second.close()])
    const values = (await collect(bus!.consumer(to, { until: 'end' }))).map((message) => message.text())
    expect(new Set(values).size).toBe(800)
    expect(values).toHaveLength(800)
  })
})
