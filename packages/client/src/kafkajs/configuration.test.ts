import { expect, test } from 'vitest'
import { clientSettings } from '../options.ts'
import { connectOptions, type KafkaConfig } from './configuration.ts'
import { createLogger, logLevel } from './logger.ts'
import { retrySettings } from './retry.ts'

const settingsOf = async (config: Partial<KafkaConfig>) => {
  const overrides = { retry: retrySettings(), metadataMaxAge: 1_000 }
  const options = await connectOptions(
    { brokers: ['b:1'], ...config },
    overrides,
    createLogger(logLevel.NOTHING),
  )
  return clientSettings(options)
}

test('the times and names of kafkajs become those of the client', async () => {
  expect(await settingsOf({})).toMatchObject({
    brokers: [{ host: 'b', port: 1 }],
    clientId: 'kafkajs',
    connectTimeoutMs: 1_000,
    requestTimeoutMs: 30_000,
    retryTimeoutMs: 9_300,
    backoff: { initialMs: 50, maxMs: 1_000 },
    metadataMaxAgeMs: 1_000,
    tls: undefined,
    sasl: undefined,
  })
  const config = { clientId: 'mine', connectionTimeout: 5, requestTimeout: 6, ssl: true }
  expect(await settingsOf(config)).toMatchObject({
    clientId: 'mine',
    connectTimeoutMs: 5,
    requestTimeoutMs: 6,
    tls: {},
  })
})

test('certificates and credentials are passed on, with the mechanism in any case', async () => {
  const ssl = { ca: ['pem'], servername: 'broker' }
  const sasl = { mechanism: 'SCRAM-SHA-512' as 'scram-sha-512', username: 'u', password: 'p' }
  expect(await settingsOf({ ssl, sasl })).toMatchObject({
    tls: ssl,
    sasl: { mechanism: 'scram-sha-512', username: 'u', password: 'p' },
  })
  const oauthBearerProvider = async () => ({ value: 'token' })
  expect(await settingsOf({ sasl: { mechanism: 'oauthbearer', oauthBearerProvider } })).toMatchObject({
    sasl: { mechanism: 'oauthbearer', token: oauthBearerProvider },
  })
})

test('brokers that are none are refused', async () => {
  await expect(settingsOf({ brokers: [] })).rejects.toMatchObject({ name: 'KafkaJSNonRetriableError' })
  await expect(settingsOf({ brokers: () => undefined as never })).rejects.toMatchObject({
    name: 'KafkaJSNonRetriableError',
  })
})
