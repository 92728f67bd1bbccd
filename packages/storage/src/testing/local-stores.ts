import { afterEach, beforeEach } from 'vitest'
import { LocalLogStore, type LocalLogStoreOptions } from '../local/local-log-store.ts'
import type { LogStore } from '../log-store.ts'
import { copyDataFolder, makeDataFolder, removeDataFolder } from './data-folder.ts'

export interface LocalStores {
  /** An empty data folder, another one for each test. */
  readonly folder: string
  open(dataDir: string, options?: Partial<LocalLogStoreOptions>): Promise<LocalLogStore>
  /** A copy of the store's folder as it is now, as if the machine had stopped. */
  copyOf(store: LocalLogStore): Promise<string>
}

/** Data folders and stores for the tests of the block it is called in, which are closed and removed after each. */
export function localStores(defaults: Partial<LocalLogStoreOptions> = {}): LocalStores {
  const folders: string[] = []
  const stores: LogStore[] = []
  let folder = ''

  beforeEach(async () => {
    folder = await makeDataFolder()
    folders.push(folder)
  })

  afterEach(async () => {
    for (const store of stores.splice(0)) await store.close()
    for (const path of folders.splice(0)) await removeDataFolder(path)
  })

  return {
    get folder() {
      return folder
    },
    async open(dataDir, options = defaults) {
      const store = await LocalLogStore.open({ dataDir, ...options })
      stores.push(store)
      return store
    },
    async copyOf(store) {
      // Behind the work in the background: a copy takes its time, and would mix what was with what is.
      await store.maintain({ maxBytes: 0 })
      const copy = await copyDataFolder(store.location)
      folders.push(copy)
      return copy
    },
  }
}
