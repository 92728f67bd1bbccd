/**
 * Shows that the simulation of a failing disk can fail: builds it with an engine in which one thing is left out, and
 * expects it to be found.
 */
import { spawn } from 'node:child_process'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from 'esbuild'

const root = join(import.meta.dirname, '..')
export const engine = join(root, 'packages/storage/src/local')
const MOST_SEEDS = 3000
const TIMEOUT_MS = 120_000

interface Sabotage {
  readonly name: string
  readonly file: string
  /** Must be there, and be there once. */
  readonly text: string
  readonly replacement: string
  /** How it is found soon, where the first seeds do not find it. */
  readonly args?: readonly string[]
}

const COMPACTION = ['--compaction', '--from', '1']

export const sabotages: readonly Sabotage[] = [
  {
    name: 'a write is acknowledged that is not synced',
    file: 'log-files.ts',
    text: 'writesAreDurable: durable,',
    replacement: 'writesAreDurable: false,',
  },
  {
    name: 'a write is acknowledged before it has ended',
    file: 'group-commit.ts',
    text: 'await disk.durable(target.handle.write(bytes, group.filePosition))',
    replacement: 'target.handle.write(bytes, group.filePosition).catch(() => {})',
  },
  {
    name: 'the folder is not synced after a file was created',
    file: 'log-files.ts',
    text: 'await this.syncFolder()',
    replacement: '',
  },
  {
    name: 'a file that replaces another is not synced',
    file: 'file-replacement.ts',
    text: 'await file.sync()',
    replacement: '',
  },
  {
    name: 'the folder is not synced after a file was replaced',
    file: 'file-replacement.ts',
    text: 'await syncFolder()',
    replacement: '',
  },
  {
    name: 'a checkpoint is written before its log is on disk',
    file: 'local-log-store.ts',
    text: 'await this.#makeDurable()\n    return checkpoint',
    replacement: 'return checkpoint',
  },
  {
    name: 'a failed sync is tried again',
    file: 'local-log-store.ts',
    text: 'this.#commit.stop(error)\n    return this.#syncFailure',
    replacement: 'const failed = this.#syncFailure\n    this.#syncFailure = null\n    return failed',
  },
  {
    name: 'the first checkpoint is not written again',
    file: 'data-folder.ts',
    text: 'if (isFirst(checkpoint)) await',
    replacement: 'if (false) await',
    args: ['--from', '700000463'],
  },
  {
    name: 'after a failed write the next one is tried on the same file',
    file: 'group-commit.ts',
    text: "this.#fatal = new StorageError('WRITER_FAILED', message, { cause })",
    replacement: '',
  },
  {
    name: 'a full disk is taken for a success',
    file: 'group-commit.ts',
    text: "group.state = 'failed'",
    replacement:
      "group.state = isNoRoom(error) ? 'written' : 'failed'\n      if (isNoRoom(error)) error = null",
  },
  {
    name: 'of two failed writes the first error counts for both',
    file: 'group-commit.ts',
    text: 'if (this.#writeError === null || isNoRoom(this.#writeError)) this.#writeError = error',
    replacement: 'this.#writeError ??= error',
    args: ['--from', '2200002483'],
  },
  {
    name: 'offsets that were withdrawn are not given again',
    file: 'group-commit.ts',
    text: 'batch.log.withdraw(batch.baseOffset, batch.producerId, batch.previousProducer)',
    replacement: '',
  },
  {
    name: 'the chain of groups is not checked',
    file: 'recovery.ts',
    text: 'group.header.chain === this.#end.chain &&',
    replacement: '',
    args: ['--from', '1100'],
  },
  {
    name: 'the batches of a group are not checked',
    file: 'recovery.ts',
    text: 'group.entries.every((entry) => entryIsIntact(group.bytes, entry))',
    replacement: 'true',
  },
  {
    name: 'a missing file is not noticed',
    file: 'recovery.ts',
    text: 'if (missing === null) continue',
    replacement: 'continue',
  },
  {
    name: 'what producers had sent is forgotten at a restart',
    file: 'checkpoint.ts',
    text: 'producers.get(logId) ?? []',
    replacement: '[]',
  },
  {
    name: 'aborted transactions are forgotten at a restart',
    file: 'checkpoint.ts',
    text: 'aborted.get(logId) ?? []',
    replacement: '[]',
  },
  {
    name: 'a checkpoint knows of producers what is not on disk yet',
    file: 'checkpoint.ts',
    text: 'durable?.has(producerId) ? durable.get(producerId) : newest',
    replacement: 'newest',
  },
  {
    name: 'a file is removed that a recovery needs',
    file: 'full-files.ts',
    text: '(file.isSegment || file.number < checkpointFileNumber)',
    replacement: 'true',
  },
  {
    name: 'files are removed before their deletion is on disk',
    file: 'local-log-store.ts',
    text: 'await this.#makeDurable()\n    if (!this',
    replacement: 'if (!this',
  },
  {
    name: 'an index is left behind without its log file',
    file: 'local-log-store.ts',
    text: 'if (this.#fullFiles.all.includes(full.file)) {',
    replacement: '{',
  },
  {
    name: 'the checksum of an index is not compared',
    file: 'index-file.ts',
    text: 'return bytes.byteLength === entry.batchCount * BATCH_BYTES && crc32c(bytes) === entry.crc',
    replacement: 'return bytes.byteLength === entry.batchCount * BATCH_BYTES',
  },
  {
    name: 'a segment counts that is not synced',
    file: 'segment-file.ts',
    text: 'await this.#handle.sync()',
    replacement: '',
    args: COMPACTION,
  },
  {
    name: 'a segment counts whose name is not synced',
    file: 'segment-file.ts',
    text: 'await this.#files.syncFolder()',
    replacement: '',
    args: COMPACTION,
  },
  {
    name: 'readers are told of aborted transactions whose markers are gone',
    file: '../log-head.ts',
    text: 'this.#transactions?.trim(endOffset)',
    replacement: '',
    args: COMPACTION,
  },
  {
    name: 'nothing is left below the last stable offset',
    file: 'compacting.ts',
    text: ' || batchEndOffset(bytes, 0) === lastStableOffset',
    replacement: '',
    args: COMPACTION,
  },
  {
    name: 'an index does not say where nothing is left',
    file: 'segment-file.ts',
    text: 'if (baseOffset > log.endOffset) this.#addGap(log)',
    replacement: '',
    args: COMPACTION,
  },
  {
    name: 'what is not decided yet is compacted',
    file: 'compacting.ts',
    text: 'batchHeader.baseOffset(bytes, 0) >= limit || ',
    replacement: '',
    args: COMPACTION,
  },
]

/**
 * True when each was found, and nothing is found where nothing is.
 * @param only tries those alone whose names contain it
 */
export async function runSelfTest(only = ''): Promise<boolean> {
  let failed = 0
  const tried = [null, ...sabotages].filter((sabotage) => (sabotage?.name ?? '').includes(only))
  for (const sabotage of tried) {
    const { code, output } = await simulateWith(sabotage)
    const isGood = sabotage === null ? code === 0 : code === 1 && output.includes('FAILED --')
    if (!isGood) failed++
    const failure = /FAILED (--from \d+|--exhaustive.*?)(?: --seeds 1)?: (.*)/.exec(output)
    const said = failure === null ? `nothing (exit code ${code})` : `${failure[1]}: ${failure[2]}`
    process.stdout.write(`${isGood ? 'ok  ' : 'FAIL'} ${sabotage?.name ?? 'nothing is left out'}: ${said}\n`)
    if (!isGood) process.stdout.write(`${output.slice(-2000)}\n`)
  }
  process.stdout.write(`${tried.length - failed} passed, ${failed} failed\n`)
  return failed === 0
}

async function simulateWith(sabotage: Sabotage | null): Promise<{ code: number | null; output: string }> {
  // Beside the sources, so that what is not bundled is found.
  const outfile = join(root, 'node_modules/.streambus-self-test', `storage-${process.pid}.mjs`)
  let isReplaced = sabotage === null
  await build({
    entryPoints: [join(root, 'sim/storage.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    conditions: ['streambus-source'],
    external: ['esbuild', 'fs-native-extensions', '@node-rs/*', 'snappy*', 'lz4*', '@mongodb-js/*'],
    logLevel: 'error',
    plugins: [
      {
        name: 'sabotage',
        setup({ onLoad }) {
          if (sabotage === null) return
          onLoad({ filter: /\.ts$/ }, async ({ path }) => {
            if (path !== join(engine, sabotage.file)) return undefined
            const parts = (await readFile(path, 'utf8')).split(sabotage.text)
            if (parts.length !== 2) {
              throw new Error(`${sabotage.file} has '${sabotage.text}' ${parts.length - 1} times`)
            }
            isReplaced = true
            return { contents: parts.join(sabotage.replacement), loader: 'ts' }
          })
        },
      },
    ],
  })
  if (!isReplaced) throw new Error(`${sabotage?.file} is not a part of the simulation`)
  const seeds = ['--seeds', String(sabotage === null ? 100 : MOST_SEEDS), '--lines', '0']
  const child = spawn(process.execPath, [outfile, ...seeds, ...(sabotage?.args ?? ['--from', '1'])])
  const timer = setTimeout(() => child.kill(), TIMEOUT_MS)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-10_000)
    })
  }
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  clearTimeout(timer)
  await rm(outfile)
  return { code, output }
}
