/** Packages from npm in folders of their own, never in the workspace, with the Node that runs them. */
import { access, mkdir, readFile, writeFile } from 'node:fs/promises'
import { arch, platform } from 'node:os'
import { runCommand } from './command.ts'
import { versions } from './versions.ts'

const NPM_TIMEOUT_MS = 240_000

/** What the npm package `node` installs by a script of its own: the binary for this platform. */
const nodePackage = `${platform() === 'darwin' ? 'node-bin' : 'node'}-${platform()}-${arch()}`

/**
 * Installs exactly these versions, and a Node of its own, unless they are there already. Returns the path of that
 * Node.
 */
export async function installNpmPackages(
  folder: string,
  packages: Readonly<Record<string, string>>,
): Promise<string> {
  const node = `${folder}/node_modules/${nodePackage}/bin/node`
  const dependencies = { ...packages, [nodePackage]: versions.node }
  const manifest = JSON.stringify({ private: true, dependencies }, null, 2)
  const current = await readFile(`${folder}/installed.json`, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  if (current === manifest) return node
  await mkdir(folder, { recursive: true })
  await writeFile(`${folder}/package.json`, manifest)
  const quiet = ['--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error']
  await runCommand('npm', ['install', ...quiet, '--no-workspaces'], {
    cwd: folder,
    timeoutMs: NPM_TIMEOUT_MS,
  })
  await access(node)
  await writeFile(`${folder}/installed.json`, manifest)
  return node
}
