/** Collects what every case came to and writes it down. */
import { mkdir, writeFile } from 'node:fs/promises'
import { arch, platform, release } from 'node:os'
import { dirname } from 'node:path'
import type { ExpectedFailure } from './expected.ts'

export interface Outcome {
  client: string
  case: string
  status: 'pass' | 'fail' | 'expected failure' | 'not applicable'
  /** Why it failed or does not apply; of a pass, what is worth knowing about it. */
  reason: string | null
  durationMs: number
}

export interface LedgerClient {
  name: string
  version: string
  remarks: readonly string[]
}

const MAX_REASON_CHARS = 400

export class Ledger {
  readonly #outcomes: Outcome[] = []
  readonly #expected: readonly ExpectedFailure[]

  constructor(expected: readonly ExpectedFailure[]) {
    this.#expected = expected
  }

  get passed(): number {
    return this.#outcomes.filter(({ status }) => status === 'pass').length
  }

  get failed(): number {
    return this.#outcomes.filter(({ status }) => status === 'fail').length
  }

  /**
   * Runs one case and records what it came to. Never rejects: a failed case does not stop the next one. What the
   * body returns is told beside the pass.
   */
  async run(client: string, name: string, body: () => Promise<unknown>): Promise<Outcome> {
    const startedAt = performance.now()
    let failure: string | null = null
    let note: string | null = null
    try {
      const told = await body()
      if (typeof told === 'string') note = told
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error)
    }
    const durationMs = Math.round(performance.now() - startedAt)
    const expected = this.#expected.find((entry) => entry.client === client && entry.case === name)
    if (failure === null && expected === undefined) return this.#add(client, name, 'pass', note, durationMs)
    if (failure === null) {
      return this.#add(client, name, 'fail', 'passed, but is listed in interop/expected.ts', durationMs)
    }
    if (expected !== undefined) {
      return this.#add(client, name, 'expected failure', expected.reason, durationMs)
    }
    return this.#add(client, name, 'fail', failure, durationMs)
  }

  notApplicable(client: string, name: string, reason: string): void {
    this.#add(client, name, 'not applicable', reason, 0)
  }

  async write(file: string, title: readonly string[], clients: readonly LedgerClient[]): Promise<void> {
    const lines = [...title, '']
    lines.push(`${this.passed} passed, ${this.failed} failed.`, '')
    lines.push('| client | version | how it is run |', '|---|---|---|')
    for (const { name, version, remarks } of clients) {
      lines.push(`| ${name} | ${version} | ${remarks.join(' ')} |`)
    }
    for (const { name, version } of clients) {
      lines.push('', `## ${name} ${version}`, '', '| case | result |', '|---|---|')
      for (const outcome of this.#outcomes) {
        if (outcome.client === name) lines.push(`| ${outcome.case} | ${describe(outcome)} |`)
      }
    }
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, `${lines.join('\n')}\n`)
  }

  #add(
    client: string,
    name: string,
    status: Outcome['status'],
    reason: string | null,
    durationMs: number,
  ): Outcome {
    const outcome = { client, case: name, status, reason, durationMs }
    this.#outcomes.push(outcome)
    console.log(`${client}: ${name}: ${describe(outcome)} (${durationMs} ms)`)
    return outcome
  }
}

function describe({ status, reason }: Outcome): string {
  if (reason === null) return status
  const line = reason.replace(/\s+/g, ' ').replaceAll('|', '\\|')
  return `${status}: ${line.slice(0, MAX_REASON_CHARS)}`
}

export function machine(): string {
  return `Node ${process.version}, ${platform()} ${release().split('-')[0]} ${arch()}`
}
