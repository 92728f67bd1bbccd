/** Programs from Debian packages: found on the path, or installed where this process may install. */
import { access, constants } from 'node:fs/promises'
import { delimiter } from 'node:path'
import { CommandError, runCommand } from './command.ts'

const INSTALL_TIMEOUT_MS = 300_000

export async function isOnPath(program: string): Promise<boolean> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const found = await access(`${folder}/${program}`, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (found) return true
  }
  return false
}

/** Makes sure that `program` can be run, by installing the Debian package that has it when it is missing. */
export async function ensureProgram(program: string, debianPackage: string): Promise<void> {
  if (!(await isOnPath(program))) await installPackage(debianPackage, `${program} is missing`)
}

/** Installs a Debian package. `need` says why, for the error on a machine where this process may not. */
export async function installPackage(debianPackage: string, need: string): Promise<void> {
  const options = { env: { DEBIAN_FRONTEND: 'noninteractive' }, timeoutMs: INSTALL_TIMEOUT_MS }
  try {
    await runCommand('apt-get', ['update', '-qq'], options)
    await runCommand('apt-get', ['install', '-y', '-qq', '--no-install-recommends', debianPackage], options)
  } catch (error) {
    const reason = error instanceof CommandError ? error.message : String(error)
    throw new CommandError(
      'NOT_STARTED',
      `${need} and the Debian package ${debianPackage} could not be installed; install it as root.\n${reason}`,
    )
  }
}

/** A JDK recent enough for a Kafka 4 broker. */
export async function ensureJdk(): Promise<void> {
  await ensureProgram('javac', 'default-jdk-headless')
}
