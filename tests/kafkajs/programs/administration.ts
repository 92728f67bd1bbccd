/** After https://kafka.js.org/docs/admin. */
import { ConfigResourceTypes, Kafka, logLevel } from 'streambus/kafkajs'

const kafka = new Kafka({
  clientId: 'my-app',
  brokers: process.env.KAFKA_BROKERS!.split(','),
  logLevel: logLevel.NOTHING,
})
const admin = kafka.admin()

async function run() {
  await admin.connect()
  const topics = [
    { topic: 'orders', numPartitions: 2, configEntries: [{ name: 'cleanup.policy', value: 'compact' }] },
    { topic: 'invoices' },
  ]
  console.log(await admin.createTopics({ topics })) // → true
  console.log(await admin.createTopics({ topics, waitForLeaders: false })) // → false
  console.log((await admin.listTopics()).sort()) // → [ 'invoices', 'orders' ]
  await admin.createPartitions({ topicPartitions: [{ topic: 'invoices', count: 3 }] })
  const metadata = await admin.fetchTopicMetadata({ topics: ['invoices'] })
  console.log(metadata.topics.map(({ name, partitions }) => `${name}: ${partitions.length}`)) // → [ 'invoices: 3' ]

  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: ConfigResourceTypes.TOPIC, name: 'orders', configNames: ['cleanup.policy'] }],
  })
  console.log(resources[0]?.configEntries[0]?.configValue) // → compact

  const producer = kafka.producer()
  await producer.connect()
  const messages = ['a', 'b', 'c'].map((value) => ({ value, partition: 1 }))
  await producer.send({ topic: 'invoices', messages })
  await producer.disconnect()
  const offsets = await admin.fetchTopicOffsets('invoices')
  console.log(offsets.sort((a, b) => a.partition - b.partition)[1]) // → { partition: 1, offset: '3', high: '3', low: '0' }

  await admin.setOffsets({
    groupId: 'billing',
    topic: 'invoices',
    partitions: [{ partition: 1, offset: '2' }],
  })
  const [committed] = await admin.fetchOffsets({ groupId: 'billing', topics: ['invoices'] })
  console.log(committed?.partitions.map(({ offset }) => offset)) // → [ '-1', '2', '-1' ]

  const { groups } = await admin.describeGroups(['billing'])
  console.log(groups.map(({ groupId, state }) => `${groupId} ${state}`)) // → [ 'billing Empty' ]
  console.log((await admin.deleteGroups(['billing'])).map(({ errorCode }) => errorCode)) // → [ 0 ]
  const { brokers, controller } = await admin.describeCluster()
  console.log(brokers.length, controller === brokers[0]?.nodeId) // → 1 true
  await admin.deleteTopics({ topics: ['orders', 'invoices'] })
  console.log((await admin.listTopics()).filter((name) => !name.startsWith('__'))) // → []
  await admin.disconnect()
}

run().catch((error) => console.error(error))
