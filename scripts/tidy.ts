/**
 * The repository checks itself: what no linter knows. `npm run tidy` prints every finding and exits 1.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

const MAX_FILE_BYTES = 256 * 1024
const MAX_LINES = 650

/** Which of our packages a package may import: the layers, from the bottom. */
const ALLOWED_IMPORTS: Record<string, readonly string[]> = {
  protocol: [],
  storage: ['protocol'],
  broker: ['protocol', 'storage'],
  client: ['protocol'],
  streambus: ['protocol', 'storage', 'broker', 'client'],
}

/** Files that nothing imports because a person or a tool starts from them. */
const ENTRY_POINTS = [
  /^packages\/[^/]+\/src\/index\.ts$/,
  /^packages\/client\/src\/kafkajs\/index\.ts$/,
  /^packages\/streambus\/src\/(broker|kafkajs|testing|cli\/main)\.ts$/,
  /\.(test|d)\.ts$/,
  /^(scripts|sim|bench|interop|tests|examples)\/.*\.ts$/,
  /^peers\/.*\.ts$/,
  /^[^/]+\.config\.ts$/,
]

const findings: string[] = []
const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { encoding: 'utf8' })
  .split('\n')
  .filter((path) => path !== '' && existsSync(path) && statSync(path).isFile())

for (const path of files) {
  if (path === 'package-lock.json') continue
  const bytes = readFileSync(path)
  if (bytes.includes(0)) findings.push(`${path}: a binary file; make it when it is needed instead`)
  if (bytes.byteLength > MAX_FILE_BYTES)
    findings.push(`${path}: ${bytes.byteLength} bytes; too large to review`)
  if (/\.(log|orig|bak|tmp|tgz)$/.test(path)) findings.push(`${path}: a leftover`)
  if (!path.endsWith('.ts') && !path.endsWith('.mjs')) continue
  const text = bytes.toString('utf8')
  const lines = text.split('\n')
  if (lines.length > MAX_LINES) findings.push(`${path}: ${lines.length} lines; it has more than one subject`)
  lines.forEach((line, index) => {
    const at = `${path}:${index + 1}`
    // The names are split so that this file does not find itself.
    if (new RegExp(`\\b(TO${'DO'}|FIX${'ME'}|XX${'X'}|HA${'CK'})\\b`).test(line)) {
      findings.push(`${at}: unfinished work is an issue, not a comment`)
    }
    if (/\b(it|test|describe)\.(skip|only|todo)\b/.test(line)) findings.push(`${at}: a test switched off`)
  })
}

const sources = files.filter((path) => path.endsWith('.ts'))
const imported = new Set<string>()
for (const path of sources) {
  const own = /^packages\/([^/]+)\/src\//.exec(path)?.[1]
  for (const specifier of importsOf(readFileSync(path, 'utf8'))) {
    if (specifier.startsWith('.')) {
      const target = normalize(join(dirname(path), specifier))
      imported.add(target)
      if (!existsSync(target)) findings.push(`${path}: imports ${specifier}, which does not exist`)
      if (own !== undefined && !target.startsWith(`packages/${own}/src/`)) {
        findings.push(`${path}: reaches into another package with ${specifier}; import it by its name`)
      }
      continue
    }
    if (own === undefined || specifier.startsWith('node:')) continue
    const name = specifier.startsWith('@')
      ? specifier.split('/').slice(0, 2).join('/')
      : specifier.split('/')[0]!
    const ours = name.startsWith('@streambus/') ? name.slice('@streambus/'.length) : undefined
    if (ours !== undefined && !ALLOWED_IMPORTS[own]?.includes(ours)) {
      findings.push(`${path}: ${own} must not import ${name}`)
    }
    const manifest = JSON.parse(readFileSync(`packages/${own}/package.json`, 'utf8'))
    const isTest = path.endsWith('.test.ts') || path.includes('/testing/')
    const declared = { ...manifest.peerDependencies, ...manifest.dependencies }
    if (!isTest && declared[name] === undefined) {
      findings.push(`${path}: ${name} is not among the dependencies of ${own}`)
    }
  }
}
for (const path of sources) {
  if (!imported.has(path) && !ENTRY_POINTS.some((pattern) => pattern.test(path))) {
    findings.push(`${path}: nothing imports it`)
  }
}

for (const finding of findings) console.error(finding)
console.log(`tidy: ${files.length} files, ${findings.length} findings`)
process.exitCode = findings.length === 0 ? 0 : 1

function importsOf(source: string): string[] {
  const statement = /(?:^|\n)\s*(?:import|export)\s[^'";=()]*?\bfrom\s*'([^']+)'/g
  const sideEffect = /(?:^|\n)import\s+'([^']+)'/g
  const dynamic = /\bimport\(\s*'([^']+)'\s*\)/g
  return [statement, sideEffect, dynamic].flatMap((pattern) =>
    [...source.matchAll(pattern)].map((match) => match[1]!),
  )
}
