/**
 * Jars from Maven Central by coordinates, through the `mvn` client and the repositories and mirrors it is
 * configured with on this machine. Jars land side by side in `.cache/jars`; which of them belong to one set of
 * coordinates is kept in `.cache/jars/sets/<hash>.json`, so that a second call starts no `mvn`.
 */
import { createHash } from 'node:crypto'
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { runCommand } from './command.ts'
import { ensureProgram } from './debian.ts'
import { cacheDir } from './workspace.ts'

export interface FetchOptions {
  /** Also what the artifacts need at run time. True unless given. */
  transitive?: boolean
}

const MVN_TIMEOUT_MS = 300_000
const jarsDir = `${cacheDir}/jars`

/**
 * Fetches artifacts named `group:artifact:version[:classifier]`. Returns the absolute paths of their jars and,
 * unless told otherwise, of everything they need: a class path.
 */
export async function fetchJars(
  coordinates: readonly string[],
  options: FetchOptions = {},
): Promise<string[]> {
  const transitive = options.transitive ?? true
  const hash = createHash('sha256')
    .update(JSON.stringify([coordinates, transitive]))
    .digest('hex')
    .slice(0, 16)
  const setFile = `${jarsDir}/sets/${hash}.json`
  const known = await readSet(setFile)
  if (known !== undefined) return known

  await ensureProgram('mvn', 'maven')
  await mkdir(`${jarsDir}/sets`, { recursive: true })
  const projectDir = await mkdtemp(`${jarsDir}/fetching-`)
  try {
    await writeFile(`${projectDir}/pom.xml`, projectModel(coordinates, transitive))
    const args = ['-B', '-q', '-f', `${projectDir}/pom.xml`, 'dependency:copy-dependencies']
    await runCommand('mvn', [...args, '-DincludeScope=runtime', `-DoutputDirectory=${projectDir}/jars`], {
      timeoutMs: MVN_TIMEOUT_MS,
    })
    const names = (await readdir(`${projectDir}/jars`)).sort()
    // A jar's name holds its version, so whoever fetched it before or at the same time brought the same bytes.
    for (const name of names) await rename(`${projectDir}/jars/${name}`, `${jarsDir}/${name}`)
    await writeFile(`${projectDir}/set.json`, JSON.stringify({ coordinates, transitive, names }, null, 2))
    await rename(`${projectDir}/set.json`, setFile)
    return names.map((name) => `${jarsDir}/${name}`)
  } finally {
    await rm(projectDir, { recursive: true, force: true })
  }
}

/** Fetches one artifact alone. Returns the absolute path of its jar. */
export async function fetchJar(coordinate: string): Promise<string> {
  const jars = await fetchJars([coordinate], { transitive: false })
  const [jar] = jars
  if (jar === undefined || jars.length !== 1) throw new Error(`${coordinate} has ${jars.length} jars, not 1`)
  return jar
}

/** The class path remembered for a set, or undefined when it was never fetched or a jar has gone since. */
async function readSet(setFile: string): Promise<string[] | undefined> {
  try {
    const { names } = JSON.parse(await readFile(setFile, 'utf8')) as { names: string[] }
    const jars = names.map((name) => `${jarsDir}/${name}`)
    for (const jar of jars) await access(jar)
    return jars
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function projectModel(coordinates: readonly string[], transitive: boolean): string {
  const excludeAll =
    '<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>'
  const dependencies = coordinates.map((coordinate) => {
    const [group, artifact, version, classifier] = coordinate.split(':')
    if (!group || !artifact || !version || !/^[\w.:-]+$/.test(coordinate)) {
      throw new Error(`${coordinate} is not group:artifact:version[:classifier]`)
    }
    return [
      `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version>`,
      classifier === undefined ? '' : `<classifier>${classifier}</classifier>`,
      transitive ? '' : excludeAll,
      '</dependency>',
    ].join('')
  })
  return [
    '<project><modelVersion>4.0.0</modelVersion>',
    '<groupId>streambus</groupId><artifactId>peers</artifactId><version>1</version><packaging>pom</packaging>',
    `<dependencies>${dependencies.join('')}</dependencies></project>`,
  ].join('\n')
}
