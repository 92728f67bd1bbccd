export * from '@streambus/broker'
