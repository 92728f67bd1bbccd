import { spawn, spawnSync } from 'node:child_process'
import { cliCommand } from './built-cli.ts'

/**
 * A pseudo-terminal for the command line, made by script(1) of util-linux: Node has none of its own. Elsewhere script
 * takes other arguments, or is not there at all.
 */
export const hasTerminals = /util-linux/.test(spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout)

export interface TerminalResult {
  readonly code: number | null
  /** Everything on the screen, what was typed included. */
  readonly screen: string
}

/** Runs a command on a terminal of its own, and types `keys` when the screen ends with what `prompt` matches. */
export async function onTerminal(
  args: readonly string[],
  prompt: RegExp,
  keys: string,
): Promise<TerminalResult> {
  const { command, env } = cliCommand(args)
  const quoted = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
  // -e: the exit code of the command; -q: nothing of script's own; the record it keeps is not wanted.
  const child = spawn('script', ['-q', '-e', '-c', quoted, '/dev/null'], {
    env: { ...env, SHELL: '/bin/sh', TERM: 'dumb' },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let screen = ''
  let isTyped = false
  child.stdin.on('error', () => {})
  child.stdout.on('data', (chunk) => {
    screen += chunk
    if (isTyped || !prompt.test(screen)) return
    isTyped = true
    child.stdin.write(keys)
  })
  return await new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, screen }))
  })
}
