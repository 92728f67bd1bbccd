export * from '@streambus/client'
