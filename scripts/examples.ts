/**
 * Runs the examples as a user has them: `npm run examples`, after a build. Each is copied to a folder of its own,
 * where the packages are installed as `npm pack` makes them, and its `npm test` is run.
 *
 * An example of a test runner passes when the runner says that exactly its tests ran and passed; the one in
 * TypeScript when the compiler takes it and it prints what it is to print.
 */
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

interface Example {
  readonly name: string
  /** What makes the runner report to standard output in a form to read. */
  readonly reporting: readonly string[]
  /** Why what it printed is not what it is to print; undefined where it is. */
  complaint(printed: string, tests: number): string | undefined
}

const EXAMPLES: readonly Example[] = [
  { name: 'testing-vitest', reporting: ['--', '--reporter=json'], complaint: inJson },
  { name: 'testing-jest', reporting: ['--', '--json'], complaint: inJson },
  {
    name: 'testing-node',
    reporting: ['--', '--test-reporter=tap'],
    complaint: (printed, tests) =>
      unequal(`passed: ${/^# pass (\d+)$/m.exec(printed)?.[1]}`, `passed: ${tests}`),
  },
  {
    name: 'typescript',
    reporting: [],
    complaint: (printed) => unequal(printed.trim(), '42\nNOT_AUTHORIZED\noffset 0, then 0 messages'),
  },
]
const TIMEOUT_MS = 120_000

const run = promisify(execFile)
const folder = mkdtempSync(join(tmpdir(), 'streambus-examples-'))
let failed = 0
try {
  const packages = join(folder, 'packages')
  mkdirSync(packages)
  await npm(process.cwd(), ['pack', '--workspaces', '--pack-destination', packages])
  const tarballs = readdirSync(packages).map((name) => join(packages, name))
  // Most of the time goes into waiting for the registry.
  const outcomes = await Promise.all(EXAMPLES.map((example) => outcomeOf(example, tarballs)))
  for (const [index, { name }] of EXAMPLES.entries()) {
    const reason = outcomes[index]
    console.log(reason === undefined ? `pass  ${name}` : `FAIL  ${name}: ${reason}`)
    if (reason !== undefined) failed++
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
console.log(`${EXAMPLES.length - failed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1

/** Why it fails; undefined where it passes. */
async function outcomeOf(example: Example, tarballs: readonly string[]): Promise<string | undefined> {
  const { name, reporting, complaint } = example
  const source = join('examples', name)
  const copy = join(folder, name)
  try {
    cpSync(source, copy, { recursive: true })
    await npm(copy, ['install', '--no-audit', '--no-fund', '--prefer-offline', ...tarballs])
    return complaint(await npm(copy, ['test', ...reporting]), testsIn(source))
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string }
    return `${(error as Error).message}\n${stdout ?? ''}${stderr ?? ''}`
  }
}

async function npm(cwd: string, args: readonly string[]): Promise<string> {
  const { stdout } = await run('npm', ['--silent', ...args], {
    cwd,
    timeout: TIMEOUT_MS,
    maxBuffer: 16 * 1024 * 1024,
  })
  return stdout
}

function testsIn(path: string): number {
  const files = readdirSync(path).filter((name) => /\.test\.[jt]s$/.test(name))
  return files.reduce((sum, name) => {
    return sum + [...readFileSync(join(path, name), 'utf8').matchAll(/^test\(/gm)].length
  }, 0)
}

function inJson(printed: string, tests: number): string | undefined {
  const { success, numPassedTests, numTotalTests } = JSON.parse(printed)
  const told = { success, numPassedTests, numTotalTests }
  const expected = { success: true, numPassedTests: tests, numTotalTests: tests }
  return tests === 0 ? 'it has no test' : unequal(JSON.stringify(told), JSON.stringify(expected))
}

function unequal(actual: string, expected: string): string | undefined {
  return actual === expected ? undefined : `expected ${expected}, and it is ${actual}`
}
