import { fileURLToPath } from 'node:url'

/** The root of the repository. */
export const workspaceDir = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '')

/** Everything fetched or written by peers, benchmarks and the ledger; ignored by git, may be deleted at any time. */
export const cacheDir = `${workspaceDir}/.cache`
