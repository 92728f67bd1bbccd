/** The Java client, `kafka-clients`, driven by the small programs in `java/`. */
import { versions } from '../peers/versions.ts'
import { allCodecs, type ClientSource } from './client.ts'
import { compileJava, javaProgram } from './java-programs.ts'
import { WorkerClient } from './worker-client.ts'

const HEAP_MIB = 512

export const javaClient: ClientSource = {
  name: 'Java kafka-clients',
  async install() {
    await compileJava('clients')
    return async (bootstrap, logFile) =>
      new WorkerClient({
        name: 'Java kafka-clients',
        version: versions.kafka,
        remarks: [],
        codecs: allCodecs,
        everyRecord: 'every',
        ...(await javaProgram('clients', 'Worker', [bootstrap], HEAP_MIB)),
        logFile,
      })
  },
}
