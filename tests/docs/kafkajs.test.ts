import { readFileSync } from 'node:fs'
import kafkajs from 'kafkajs'
import * as shim from 'streambus/kafkajs'
import { expect, test } from 'vitest'

const page = readFileSync(new URL('../../docs/sdk/kafkajs.md', import.meta.url), 'utf8')

test('docs/sdk/kafkajs.md names every export of kafkajs that is absent, and no other', () => {
  const section = page.slice(
    page.indexOf('Errors that this client does not raise'),
    page.indexOf('## And then'),
  )
  const rows = [...section.matchAll(/^\| (`.*?) \|/gm)].map(([, cell]) => cell!)
  const documented = rows.flatMap((cell) => [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name))
  const absent = Object.keys(kafkajs).filter((name) => !(name in shim))
  expect(documented.sort()).toEqual(absent.sort())
})

test('docs/sdk/kafkajs.md names every event there is, and every one that is absent', () => {
  const kafka = new shim.Kafka({ brokers: ['b:1'], logLevel: shim.logLevel.NOTHING })
  const theirs = new kafkajs.Kafka({ brokers: ['b:1'], logLevel: kafkajs.logLevel.NOTHING })
  const pairs = [
    [kafka.producer().events, theirs.producer().events],
    [kafka.admin().events, theirs.admin().events],
    [kafka.consumer({ groupId: 'g' }).events, theirs.consumer({ groupId: 'g' }).events],
  ]
  for (const [ours, all] of pairs) {
    const known = new Map(Object.entries(ours!))
    for (const [key, name] of Object.entries(all!)) {
      const isThere = known.get(key) === name
      const row = isThere ? /^\| (?:producer, admin|consumer) \|.*$/gm : /^\| events .*$/gm
      expect(page.match(row)?.join('\n')).toContain(`\`${key}\``)
    }
    expect(Object.keys(all!)).toEqual(expect.arrayContaining([...known.keys()]))
  }
})
