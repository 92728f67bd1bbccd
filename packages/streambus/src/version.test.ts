import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { version } from './version.ts'

test.each(['streambus', 'client'])('the version of %s is the one of its package.json', async (name) => {
  const manifest = await readFile(new URL(`../../${name}/package.json`, import.meta.url), 'utf8')
  expect(version).toBe(JSON.parse(manifest).version)
})
