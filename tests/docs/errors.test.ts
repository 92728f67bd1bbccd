import { readFileSync } from 'node:fs'
import { errorTable } from '@streambus/client'
import { expect, test } from 'vitest'

test('docs/ERRORS.md and the error table of the SDK say the same', () => {
  const page = readFileSync(new URL('../../docs/ERRORS.md', import.meta.url), 'utf8')
  const section = page.slice(page.indexOf('## SDK'), page.indexOf('## Broker'))
  const documented = section.split('\n').filter((line) => line.startsWith('| `'))
  const rows = Object.entries(errorTable).map(
    ([code, { class: name, retriable, meaning, remedy }]) =>
      `| \`${code}\` | \`${name}\` | ${retriable ? 'yes' : 'no'} | ${meaning} | ${remedy} |`,
  )
  expect(documented).toEqual(rows)
})
