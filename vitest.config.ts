import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const source = (name: string): string => fileURLToPath(new URL(`packages/${name}/src/index.ts`, import.meta.url))

const folders = ['packages/*/src', 'packages/*/test', 'scripts', 'examples', 'bench']
const testsNamed = (suffix: string): string[] => folders.map((folder) => `${folder}/**/*${suffix}`)
const notTests = ['**/node_modules/**', '**/dist/**']

export default defineConfig({
  // Tests run on the sources, so that a fault shows where it was made and no build is needed first.
  resolve: {
    alias: {
      '@tidewire/protocol': source('protocol'),
      '@tidewire/client': source('client'),
      '@tidewire/server': source('server'),
      '@tidewire/postgres': source('postgres'),
      '@tidewire/testkit': source('testkit'),
    },
  },
  test: {
    environment: 'node',
    hookTimeout: 60_000,
    coverage: { provider: 'v8', include: ['packages/*/src/**'], exclude: ['packages/testkit/**', '**/*.test.ts', '**/*.test-d.ts'] },
    projects: [
      {
        extends: true,
        test: {
          name: 'node',
          include: testsNamed('.test.ts'),
          exclude: [...notTests, '**/*.browser.test.ts', '**/*.long.test.ts'],
          testTimeout: 20_000,
        },
      },
      {
        // They drive a Chromium from Node; one at a time, so that they do not starve each other.
        extends: true,
        test: { name: 'browser', include: testsNamed('.browser.test.ts'), exclude: notTests, testTimeout: 60_000, fileParallelism: false },
      },
      {
        // Proofs that take minutes: `npm run test:long`.
        extends: true,
        test: { name: 'long', include: testsNamed('.long.test.ts'), exclude: notTests, testTimeout: 1_800_000, fileParallelism: false },
      },
    ],
  },
})
