/** Loaded into the broker's process by the soak: says how its memory is made up, in the file it is told. */
import { renameSync, writeFileSync } from 'node:fs'

const PERIOD_MS = 1_000
const file = process.env.SOAK_MEMORY_FILE

setInterval(() => {
  // Whole or not at all, for whoever reads it meanwhile.
  writeFileSync(`${file}.next`, JSON.stringify(process.memoryUsage()))
  renameSync(`${file}.next`, file)
}, PERIOD_MS).unref()
