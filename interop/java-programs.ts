/** The Java programs in `java/`, compiled here, each against the library it is about. */
import { mkdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { runCommand } from '../peers/command.ts'
import { ensureJdk } from '../peers/debian.ts'
import { shortLivedJvmOptions } from '../peers/kafka.ts'
import { fetchJars } from '../peers/maven.ts'
import { versions } from '../peers/versions.ts'
import { cacheDir } from '../peers/workspace.ts'

/** A library and the programs that use it. */
interface Library {
  readonly coordinates: string
  readonly programs: readonly string[]
}

const libraries = {
  clients: {
    coordinates: `org.apache.kafka:kafka-clients:${versions.kafka}`,
    programs: ['Records', 'Worker', 'GroupMember', 'ExactlyOnceWorker', 'Table'],
  },
  streams: {
    coordinates: `org.apache.kafka:kafka-streams:${versions.kafkaStreams}`,
    programs: ['WordCount'],
  },
} as const satisfies Record<string, Library>

export type JavaLibrary = keyof typeof libraries

/** How a program is started, as a process of its own. */
export interface Program {
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

const compiled = new Map<JavaLibrary, Promise<string>>()

/** Compiles the programs of a library, once in a run. Returns their class path. */
export function compileJava(library: JavaLibrary): Promise<string> {
  const known = compiled.get(library)
  if (known !== undefined) return known
  const compiling = compile(library)
  compiled.set(library, compiling)
  return compiling
}

async function compile(library: JavaLibrary): Promise<string> {
  await ensureJdk()
  const { coordinates, programs } = libraries[library]
  const jars = await fetchJars([coordinates, 'org.slf4j:slf4j-simple:1.7.36'])
  const classes = `${cacheDir}/interop/java-${library}`
  await mkdir(classes, { recursive: true })
  const classPath = [...jars, classes].join(':')
  const sources = programs.map((name) => fileURLToPath(new URL(`./java/${name}.java`, import.meta.url)))
  await runCommand('javac', ['-Xlint:all', '-Werror', '-d', classes, '-cp', classPath, ...sources])
  return classPath
}

/** `heapMiB` is small where many run at once. */
export async function javaProgram(
  library: JavaLibrary,
  mainClass: string,
  args: readonly string[],
  heapMiB: number,
): Promise<Program> {
  const classPath = await compileJava(library)
  const options = [`-Xmx${heapMiB}M`, '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn']
  return {
    command: 'java',
    args: [...shortLivedJvmOptions, ...options, '-cp', classPath, mainClass, ...args],
  }
}
