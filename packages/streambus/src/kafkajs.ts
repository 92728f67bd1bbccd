export * from '@streambus/client/kafkajs'
