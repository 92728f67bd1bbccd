/** The Java client, `kafka-clients`, driven by the small program in `java/`, which is compiled here. */
import { mkdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { runCommand } from '../peers/command.ts'
import { ensureJdk } from '../peers/debian.ts'
import { shortLivedJvmOptions } from '../peers/kafka.ts'
import { fetchJars } from '../peers/maven.ts'
import { versions } from '../peers/versions.ts'
import { cacheDir } from '../peers/workspace.ts'
import { allCodecs, type ClientSource } from './client.ts'
import { WorkerClient } from './worker-client.ts'

export const javaClient: ClientSource = {
  name: 'Java kafka-clients',
  async install() {
    await ensureJdk()
    const jars = await fetchJars([
      `org.apache.kafka:kafka-clients:${versions.kafka}`,
      'org.slf4j:slf4j-simple:1.7.36',
    ])
    const classes = `${cacheDir}/interop/java`
    await mkdir(classes, { recursive: true })
    const classPath = [...jars, classes].join(':')
    const sources = ['Records', 'Worker'].map((name) =>
      fileURLToPath(new URL(`./java/${name}.java`, import.meta.url)),
    )
    await runCommand('javac', ['-Xlint:all', '-Werror', '-d', classes, '-cp', classPath, ...sources])
    return async (bootstrap, logFile) =>
      new WorkerClient({
        name: 'Java kafka-clients',
        version: versions.kafka,
        remarks: [],
        codecs: allCodecs,
        command: 'java',
        args: [...shortLivedJvmOptions, '-Xmx512M', '-cp', classPath, 'Worker', bootstrap],
        logFile,
      })
  },
}
