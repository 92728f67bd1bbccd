/** kafka-python in a virtual environment of its own in the cache. */
import { access } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { runCommand } from '../peers/command.ts'
import { ensureProgram, installPackage } from '../peers/debian.ts'
import { versions } from '../peers/versions.ts'
import { cacheDir } from '../peers/workspace.ts'
import { allCodecs, type ClientSource } from './client.ts'
import type { Program } from './java-programs.ts'
import { WorkerClient } from './worker-client.ts'

const PIP_TIMEOUT_MS = 240_000

let installing: Promise<string> | undefined

/** A program of `python/` that uses the client: `script` is its name there. */
export async function pythonProgram(script: string, args: readonly string[]): Promise<Program> {
  installing ??= installed()
  return {
    command: await installing,
    args: [fileURLToPath(new URL(`./python/${script}.py`, import.meta.url)), ...args],
    env: { PYTHONDONTWRITEBYTECODE: '1' },
  }
}

/** Returns the path of the `python` of the environment. */
async function installed(): Promise<string> {
  await ensureProgram('python3', 'python3-venv')
  const modules = await runCommand('python3', ['-c', 'import ensurepip, venv'], {
    allowedExitCodes: [0, 1],
  })
  if (modules.exitCode !== 0) await installPackage('python3-venv', 'the venv module of Python is missing')
  const environment = `${cacheDir}/python/kafka-python-${versions.kafkaPython}`
  const python = `${environment}/bin/python`
  const complete = await access(`${environment}/bin/kafka-python`).then(
    () => true,
    () => false,
  )
  if (!complete) {
    await runCommand('python3', ['-m', 'venv', environment])
    const requirement = `kafka-python[crc32c,lz4,snappy,zstd]==${versions.kafkaPython}`
    await runCommand(python, ['-m', 'pip', 'install', '--quiet', requirement], {
      timeoutMs: PIP_TIMEOUT_MS,
    })
  }
  return python
}

export const kafkaPython: ClientSource = {
  name: 'kafka-python',
  async install() {
    await pythonProgram('worker', [])
    return async (bootstrap, logFile) =>
      new WorkerClient({
        name: 'kafka-python',
        version: versions.kafkaPython,
        remarks: [
          'It does not send headers without a value, which it reads.',
          'Its consumer may forget a join that outlasts the poll() that began it: in groups it polls for longer.',
        ],
        codecs: allCodecs,
        everyRecord: 'every-but-null',
        ...(await pythonProgram('worker', [bootstrap])),
        logFile,
      })
  },
}
