import { expect, test } from 'vitest'
import { ScramClient } from './scram.ts'

const NONCE = 'rOprNGfwEbeRWgbNEkqO'
const SERVER_FIRST = Buffer.from(
  'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
)

test('the exchange of RFC 7677', async () => {
  const client = new ScramClient('sha256', 'user', 'pencil', { nonce: NONCE })
  expect(client.first().toString()).toBe('n,,n=user,r=rOprNGfwEbeRWgbNEkqO')
  expect((await client.final(SERVER_FIRST)).toString()).toBe(
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
  )
  client.verify(Buffer.from('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='))
})

test('a server that does not know the password is found out', async () => {
  const client = new ScramClient('sha256', 'user', 'pencil', { nonce: NONCE })
  await client.final(SERVER_FIRST)
  expect(() => client.verify(Buffer.from('v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='))).toThrow(
    'the server does not know the password',
  )
  expect(() => client.verify(Buffer.from(''))).toThrow('the server does not know the password')
  expect(() => client.verify(Buffer.from('e=other-error'))).toThrow('the server says other-error')
})

test.each([
  ['another nonce', 'r=zzz,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096', 'the server changed the nonce'],
  ['no nonce of its own', `r=${NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`, 'the server changed the nonce'],
  ['no salt', `r=${NONCE}x,i=4096`, 'the server sent no salt'],
  ['too few iterations', `r=${NONCE}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1`, 'asks for 1 iterations'],
  [
    'too many iterations',
    `r=${NONCE}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=99999999`,
    'asks for 99999999 iterations',
  ],
  ['bytes that are no message', '\x00\xff', 'the server changed the nonce'],
])('a first message of the server with %s is refused', async (_, message, reason) => {
  const client = new ScramClient('sha256', 'user', 'pencil', { nonce: NONCE })
  await expect(client.final(Buffer.from(message))).rejects.toThrow(reason)
})

test('names with commas and equals signs are escaped', () => {
  const client = new ScramClient('sha512', 'a=b,c', 'x', { nonce: 'n' })
  expect(client.first().toString()).toBe('n,,n=a=3Db=2Cc,r=n')
})

test('a delegation token is said to be one', () => {
  const client = new ScramClient('sha256', 'token', 'hmac', { nonce: 'n', delegationToken: true })
  expect(client.first().toString()).toBe('n,,n=token,r=n,tokenauth=true')
})
