import { readFile } from 'node:fs/promises'
import type { ConnectOptions } from '@streambus/client'
import { UsageError } from './failure.ts'
import { environmentName, type GivenOptions, resolveSettings, type SettingName } from './settings.ts'

const names = ['tls', 'tlsCa', 'tlsCert', 'tlsKey', 'saslMechanism', 'username', 'password', 'token'] as const

/**
 * How the brokers are spoken to, and as whom. From the environment and the configuration file only: what stands on
 * a command line, every user of the machine can read.
 */
export async function clientSecurity(given: GivenOptions): Promise<Pick<ConnectOptions, 'tls' | 'sasl'>> {
  const { config } = given
  const found = await resolveSettings(names, config === undefined ? {} : { config })
  const { tls, tlsCa, tlsCert, tlsKey, saslMechanism: mechanism, username, password, token } = found
  const files = { ca: tlsCa, cert: tlsCert, key: tlsKey }
  const named = Object.entries(files).filter((file): file is [string, string] => file[1] !== undefined)
  const contents = await Promise.all(
    named.map(async ([name, file]) => [name, await contentOf(file)] as const),
  )
  const usesTls = tls ?? named.length > 0
  const security: Pick<ConnectOptions, 'tls' | 'sasl'> = usesTls ? { tls: Object.fromEntries(contents) } : {}
  if (mechanism === undefined) {
    if (username !== undefined) throw missing('saslMechanism', 'a user name is given')
    return security
  }
  if (mechanism === 'oauthbearer') {
    if (token === undefined) throw missing('token', `the mechanism is ${mechanism}`)
    return { ...security, sasl: { mechanism, token: () => token } }
  }
  if (username === undefined) throw missing('username', `the mechanism is ${mechanism}`)
  if (password === undefined) throw missing('password', `the mechanism is ${mechanism}`)
  return { ...security, sasl: { mechanism, username, password } }
}

async function contentOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new UsageError(`Cannot read ${file}: ${(error as Error).message}.`, { cause: error })
  }
}

function missing(name: SettingName, because: string): UsageError {
  return new UsageError(
    `${environmentName(name)} (or ${name} in the configuration file) is not set, and ${because}.`,
  )
}
