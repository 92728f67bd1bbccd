// Builds every package: one bundled JavaScript file per entry point (so that a start loads few files)
// and type declarations beside it. Third-party packages stay external; the ones a command does not
// need are loaded lazily by the code itself.
import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const manifest = JSON.parse(readFileSync(join(root, 'packages/streambus/package.json'), 'utf8'))
const inDependencyOrder = ['protocol', 'storage', 'broker', 'client', 'streambus']
const shared = { bundle: true, platform: 'node', target: 'node20.19', format: 'esm', sourcemap: true }

for (const name of inDependencyOrder) {
  rmSync(join(root, 'packages', name, 'dist'), { recursive: true, force: true })
}
await Promise.all([
  ...['protocol', 'storage', 'broker'].map((name) =>
    build({
      ...shared,
      entryPoints: [join(root, 'packages', name, 'src/index.ts')],
      outfile: join(root, 'packages', name, 'dist/index.js'),
      packages: 'external',
    }),
  ),
  build({
    ...shared,
    entryPoints: {
      index: join(root, 'packages/client/src/index.ts'),
      kafkajs: join(root, 'packages/client/src/kafkajs/index.ts'),
    },
    outdir: join(root, 'packages/client/dist'),
    splitting: true,
    packages: 'external',
  }),
  build({
    ...shared,
    entryPoints: {
      index: join(root, 'packages/streambus/src/index.ts'),
      kafkajs: join(root, 'packages/streambus/src/kafkajs.ts'),
      broker: join(root, 'packages/streambus/src/broker.ts'),
      testing: join(root, 'packages/streambus/src/testing.ts'),
      cli: join(root, 'packages/streambus/src/cli/main.ts'),
    },
    outdir: join(root, 'packages/streambus/dist'),
    splitting: true,
    // Our own packages go into the bundle; what comes from the registry does not.
    conditions: ['streambus-source'],
    external: Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies }).filter(
      (name) => !name.startsWith('@streambus/'),
    ),
  }),
])
for (const name of inDependencyOrder) {
  execFileSync(
    process.execPath,
    [
      join(root, 'node_modules/typescript/bin/tsc'),
      '-p',
      join(root, 'packages', name, 'tsconfig.build.json'),
    ],
    {
      stdio: 'inherit',
    },
  )
}
// What npm shows and what an editor can open: the licence with every package, the pages with the one users install.
for (const name of inDependencyOrder) {
  copyFileSync(join(root, 'LICENSE'), join(root, 'packages', name, 'LICENSE'))
}
copyFileSync(join(root, 'README.md'), join(root, 'packages/streambus/README.md'))
for (const folder of ['docs', 'compat']) {
  rmSync(join(root, 'packages/streambus', folder), { recursive: true, force: true })
  cpSync(join(root, folder), join(root, 'packages/streambus', folder), { recursive: true })
}
