import { describeLogStore } from '../testing/contract.ts'
import { makeDataFolder, removeDataFolder } from '../testing/data-folder.ts'
import type { FileSystem } from './file-system.ts'
import { LocalLogStore, type LocalLogStoreOptions } from './local-log-store.ts'
import { nodeFileSystem } from './node-file-system.ts'

/** Small enough that most reads come from files behind the cache, and that files follow each other. */
const SMALL = { cacheBytes: 128 * 1024, fileBytes: 128 * 1024, indexCacheBytes: 256 } as const

/** As a filesystem that knows only the page cache. */
const withoutDirectIo: FileSystem = {
  ...nodeFileSystem,
  async open(path, options) {
    if (options.direct) throw Object.assign(new Error('EINVAL: invalid argument, open'), { code: 'EINVAL' })
    return nodeFileSystem.open(path, options)
  },
}

function describeVariant(name: string, options: Partial<LocalLogStoreOptions>): void {
  let folder = ''
  describeLogStore(name, {
    async open() {
      folder = await makeDataFolder()
      return LocalLogStore.open({ dataDir: folder, ...options })
    },
    cleanUp: () => removeDataFolder(folder),
  })
}

describeVariant('local', {})
describeVariant('local, with small files and caches', SMALL)
describeVariant('local, with small files written beforehand', { ...SMALL, prepareFiles: 'always' })
describeVariant('local, without direct I/O, not synced', {
  ...SMALL,
  durability: 'os',
  fileSystem: withoutDirectIo,
})
