/**
 * Writes the API reference, docs/sdk/reference, from the types and docstrings of what `streambus` exports:
 * `npm run reference`. With `--check` nothing is written, and it fails where what lies there is not what would be.
 *
 * The pages are made by typedoc, in a folder of its own: it reads types with another compiler than this workspace.
 */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { runCommand } from '../peers/command.ts'
import { installNpmPackages } from '../peers/npm.ts'
import { versions } from '../peers/versions.ts'

const FOLDER = 'docs/sdk/reference'
const TOOLS = resolve('.cache/npm/typedoc')
const TIMEOUT_MS = 240_000
/** What a user imports, and the module that has it; a folder of pages each. */
const MODULES: Readonly<Record<string, string>> = {
  streambus: 'index',
  'streambus/broker': 'broker',
  'streambus/testing': 'testing',
  'streambus/kafkajs': 'kafkajs',
}

const OPTIONS = {
  plugin: [join(TOOLS, 'node_modules/typedoc-plugin-markdown/dist/index.js')],
  entryPoints: Object.values(MODULES).map((name) => resolve(`packages/streambus/src/${name}.ts`)),
  tsconfig: resolve('tsconfig.json'),
  // `npm run types` does that.
  skipErrorChecking: true,
  readme: 'none',
  outputFileStrategy: 'members',
  membersWithOwnFile: ['Class'],
  disableSources: true,
  excludeInternal: true,
  excludePrivate: true,
  // A constructor without a docstring is not for users: what it makes comes from a method of something else.
  excludeNotDocumented: true,
  excludeNotDocumentedKinds: ['Constructor', 'ConstructorSignature'],
  hidePageHeader: true,
  hideBreadcrumbs: true,
  expandObjects: true,
  parametersFormat: 'table',
  interfacePropertiesFormat: 'table',
  typeDeclarationFormat: 'table',
  validation: { notExported: false },
  treatWarningsAsErrors: true,
}

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } })
const pages = await generatedPages()
const stale = await differing(pages)
if (!values.check) {
  await rm(FOLDER, { recursive: true, force: true })
  for (const [name, text] of pages) {
    await mkdir(dirname(join(FOLDER, name)), { recursive: true })
    await writeFile(join(FOLDER, name), text)
  }
}
const outcome = `${stale.length} of them ${values.check ? 'stale' : 'changed'}`
console.log(`${FOLDER}: ${pages.size} pages, ${outcome}${stale.map((name) => `\n  ${name}`).join('')}`)
if (values.check && stale.length > 0) {
  console.error('Run `npm run reference` and commit what it writes.')
  process.exitCode = 1
}

/** The pages by file name. */
async function generatedPages(): Promise<Map<string, string>> {
  const node = await installNpmPackages(TOOLS, {
    typedoc: versions.typedoc,
    'typedoc-plugin-markdown': versions.typedocMarkdown,
    typescript: versions.typedocTypescript,
  })
  const out = await mkdtemp(join(tmpdir(), 'streambus-reference-'))
  try {
    const options = join(out, 'typedoc.json')
    await writeFile(options, JSON.stringify({ ...OPTIONS, out: join(out, 'pages') }))
    await runCommand(node, [join(TOOLS, 'node_modules/typedoc/bin/typedoc'), '--options', options], {
      timeoutMs: TIMEOUT_MS,
    })
    const written = new Map([['README.md', contents()]])
    const folder = join(out, 'pages')
    for (const path of await readdir(folder, { recursive: true })) {
      const [, module, rest] = /^([^/]+)\/(.+\.md)$/.exec(path) ?? []
      if (module === undefined) continue
      const text = await readFile(join(folder, path), 'utf8')
      written.set(`${folderOf(module)}/${rest}`, renamed(text, module))
    }
    return written
  } finally {
    await rm(out, { recursive: true, force: true })
  }
}

function folderOf(module: string): string {
  return module === 'index' ? 'streambus' : module
}

/** With the name that a user imports in the title, and in links. */
function renamed(text: string, module: string): string {
  const [specifier] = Object.entries(MODULES).find(([, name]) => name === module) as [string, string]
  const titled = text.replace(new RegExp(`^# ${module}$`, 'm'), `# ${specifier}`)
  return `${titled.replace(/(\]\((?:\.\.\/)+)index\//g, '$1streambus/').trimEnd()}\n`
}

function contents(): string {
  const links = Object.entries(MODULES).map(
    ([specifier, module]) => `- [\`${specifier}\`](${folderOf(module)}/README.md)`,
  )
  return `# API reference\n\nWritten by \`npm run reference\` from the types and docstrings.\n\n${links.join('\n')}\n`
}

async function differing(pages: ReadonlyMap<string, string>): Promise<string[]> {
  const existing = existsSync(FOLDER)
    ? (await readdir(FOLDER, { recursive: true })).filter((name) => name.endsWith('.md'))
    : []
  const names = new Set([...pages.keys(), ...existing])
  const same = await Promise.all(
    [...names].map(async (name) => {
      const before = existing.includes(name) ? await readFile(join(FOLDER, name), 'utf8') : undefined
      return before === pages.get(name) ? undefined : name
    }),
  )
  return same.filter((name) => name !== undefined)
}
