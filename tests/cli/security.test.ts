import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { certificate } from '../client/certificate.ts'
import { TlsBroker } from '../client/tls-broker.ts'
import { cli, ensureBuilt } from './built-cli.ts'

let folder: string
let broker: TlsBroker
let brokers: string

beforeAll(async () => {
  await ensureBuilt()
  folder = await mkdtemp(`${tmpdir()}/streambus-cli-tls-`)
  const { cert, private: key } = await certificate('localhost')
  await writeFile(`${folder}/ca.pem`, cert)
  await writeFile(`${folder}/client.yaml`, `tlsCa: ${folder}/ca.pem\n`)
  broker = await TlsBroker.start({ cert, key })
  brokers = `localhost:${broker.port}`
})

afterAll(async () => {
  await broker.close()
  await rm(folder, { recursive: true, force: true })
})

test('a broker behind TLS is reached with what the environment or the configuration file says', async () => {
  const sent = await cli(['produce', 't', '-m', 'x', '-b', brokers], {
    env: { STREAMBUS_TLS_CA: `${folder}/ca.pem` },
  })
  expect(sent).toMatchObject({ code: 0, stdout: 'Topic: t, Partition: 0, Offset: 0\n' })
  const read = await cli(['consume', 't', '-e', '-b', brokers, '--config', `${folder}/client.yaml`])
  expect(read).toMatchObject({ code: 0, stdout: 'Offset: 0, Key: null, Value: x\n' })
})

test('without TLS, and with a certificate that is not trusted, one sentence says what is wrong', async () => {
  const plain = await cli(['status', '-b', brokers])
  expect(plain.code).toBe(1)
  expect(plain.stderr).toContain(`does ${brokers} want TLS?`)
  const untrusted = await cli(['status', '-b', brokers], { env: { STREAMBUS_TLS: 'true' } })
  expect(untrusted.code).toBe(1)
  expect(untrusted.stderr).toContain(`error: No TLS connection to ${brokers} (self-signed certificate`)
})

test('what is missing or wrong among the settings is named', async () => {
  const ask = async (env: Record<string, string>) => {
    const { code, stderr } = await cli(['status', '-b', brokers], { env })
    expect(code).toBe(2)
    return stderr
  }
  expect(await ask({ STREAMBUS_SASL_MECHANISM: 'plain', STREAMBUS_USERNAME: 'ann' })).toContain(
    'STREAMBUS_PASSWORD (or password in the configuration file) is not set, and the mechanism is plain.',
  )
  expect(await ask({ STREAMBUS_USERNAME: 'ann' })).toContain('STREAMBUS_SASL_MECHANISM')
  expect(await ask({ STREAMBUS_SASL_MECHANISM: 'gssapi' })).toContain('must be one of plain,')
  expect(await ask({ STREAMBUS_TLS_CA: `${folder}/nothing.pem` })).toContain(
    `Cannot read ${folder}/nothing.pem`,
  )
})
