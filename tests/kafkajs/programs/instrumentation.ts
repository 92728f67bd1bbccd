/** After https://kafka.js.org/docs/instrumentation-events and https://kafka.js.org/docs/custom-logger. */
import { Kafka, type logCreator, logLevel } from 'streambus/kafkajs'

const messagesByNamespace = new Map<string, number>()
const MyLogCreator: logCreator = () => {
  return ({ namespace, level, log }) => {
    if (level > logLevel.INFO || typeof log.message !== 'string') return
    messagesByNamespace.set(namespace, (messagesByNamespace.get(namespace) ?? 0) + 1)
  }
}

const kafka = new Kafka({
  clientId: 'my-app',
  brokers: process.env.KAFKA_BROKERS!.split(','),
  logLevel: logLevel.INFO,
  logCreator: MyLogCreator,
})

async function run() {
  const producer = kafka.producer()
  const { CONNECT, DISCONNECT } = producer.events
  const removeListener = producer.on(CONNECT, ({ type, payload }) => console.log(type, payload ?? 'nothing'))
  producer.on(DISCONNECT, ({ type }) => console.log(type))
  await producer.connect() // → producer.connect nothing
  removeListener()
  await producer.send({ topic: 'topic-test', messages: [{ key: 'k', value: 'a' }] })
  await producer.disconnect() // → producer.disconnect

  const consumer = kafka.consumer({ groupId: 'my-group', heartbeatInterval: 50, maxWaitTimeInMs: 50 })
  const heartbeat = new Promise<void>((resolve) => {
    consumer.on(consumer.events.HEARTBEAT, ({ payload: { groupId, memberId } }) => {
      if (groupId === 'my-group' && memberId !== '') resolve()
    })
  })
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    console.log(payload.groupProtocol, payload.isLeader, payload.memberAssignment)
  })
  const processed = new Promise<void>((resolve) => {
    consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
      console.log(
        payload.topic,
        payload.batchSize,
        payload.firstOffset,
        payload.lastOffset,
        payload.offsetLag,
      )
      resolve()
    })
  })
  const fetched = new Promise<void>((resolve) => {
    consumer.on(consumer.events.FETCH, ({ payload: { duration, nodeId } }) => {
      if (duration >= 0 && nodeId >= 0) resolve()
    })
  })
  await consumer.connect()
  await consumer.subscribe({ topics: ['topic-test'], fromBeginning: true })
  await consumer.run({ eachMessage: async () => {} }) // → RoundRobinAssigner true { 'topic-test': [ 0 ] }
  await Promise.all([heartbeat, processed, fetched]) // → topic-test 1 0 0 0
  consumer.on(consumer.events.STOP, ({ type }) => console.log(type))
  consumer.on(consumer.events.DISCONNECT, ({ type }) => console.log(type))
  await consumer.disconnect() // → consumer.stop
  console.log(messagesByNamespace.has('Consumer')) // → consumer.disconnect
} // → true

run().catch((error) => console.error(error))
