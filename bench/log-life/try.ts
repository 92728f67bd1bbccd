import { measureAcknowledgement } from './acknowledgement.ts'
import { measureColdScan } from './cold-scan.ts'
import { measureCompaction } from './compaction.ts'
import { measureDeletion } from './deletion.ts'
import { measureAmplification } from './write-amplification.ts'

const which = process.argv[2]
const all = {
  compaction: measureCompaction,
  scan: measureColdScan,
  deletion: measureDeletion,
  amp1: () => measureAmplification({ partitions: 1, batchBytes: 16000 }),
  amp100: () => measureAmplification({ partitions: 100, batchBytes: 16000 }),
  amp10000: () => measureAmplification({ partitions: 10000, batchBytes: 1000 }),
  ack: measureAcknowledgement,
} as Record<string, () => Promise<unknown>>
const c0 = process.cpuUsage()
console.log(which, await all[which!]!())
const c1 = process.cpuUsage(c0)
console.log('cpu', (c1.user / 1e6).toFixed(2), 'user', (c1.system / 1e6).toFixed(2), 'system')
